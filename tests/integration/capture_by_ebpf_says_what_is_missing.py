from kit import ebpf, processes
from kit.namespaces import Namespace
from kit.scope import check


def test(scope):
    ebpf.hide_mounts()
    namespace = Namespace(scope, "one")

    def capture(*words, uid=None):
        return processes.run(["lanyard", "capture", *words], namespace, uid)

    def expect_refused(words, sentence, uid=None, status=1):
        done = capture(*words, uid=uid)
        check.assertEqual(done.returncode, status, done.stdout + done.stderr)
        check.assertIn(sentence, done.stderr)
        check.assertEqual(done.stderr.count("\n"), 1, f"one sentence, not:\n{done.stderr}")
        check.assertEqual(ebpf.pins(), [])

    up = ["up", "--mode", "ebpf", "--proxy-uid", "7"]
    if ebpf.lacking():
        ebpf.mount_file_system()
        expect_refused(up, "BPF")
        return
    processes.run(["mount", "-t", "tmpfs", "none", ebpf.BPF_FILE_SYSTEM])  # whatever is there is not seen
    expect_refused(up, "there is no BPF file system at /sys/fs/bpf")
    check.assertEqual(capture("down").returncode, 0)
    check.assertEqual(capture("show").stdout, "not captured\n")
    ebpf.mount_file_system()
    expect_refused(up, "CAP_BPF", uid=3001)
    expect_refused([*up, "--preserve-source"], "--preserve-source needs", status=2)
    expect_refused([*up, "--udp", "refuse"], "--udp refuse needs", status=2)
    expect_refused([*up, "--cgroup", "no/such", "--include-inbound-ports", "80"], "no/such")
    expect_refused([*up, "--cgroup", "no/such"], "--include-inbound-ports", status=2)

    # What is in force is out of others' reach.
    check.assertEqual(capture(*up).returncode, 0)
    before = ebpf.pins()
    check.assertIn("connect6", before)
    for words in (up, ["down"], ["show"]):
        check.assertEqual(capture(*words, uid=3001).returncode, 1, words)
        check.assertEqual(ebpf.pins(), before)
    check.assertEqual(capture("down").returncode, 0)
    check.assertEqual(ebpf.pins(), [])
    check.assertFalse((ebpf.BPF_FILE_SYSTEM / "lanyard").exists())
