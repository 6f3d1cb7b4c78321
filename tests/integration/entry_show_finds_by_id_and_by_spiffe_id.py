from kit.mesh import TRUST_DOMAIN, Mesh
from kit.scope import check

WEB = f"spiffe://{TRUST_DOMAIN}/web"


def test(scope):
    mesh = Mesh(scope, entries=False, proxies=False, agents=False)
    first = mesh.cli("entry", "create", "--spiffe-id", WEB, "--selector", "unix:uid:1", "--selector", "unix:gid:2",
                     "--ttl", "10m", "--dns-name", "web.example.org", "--hint", "public")
    second = mesh.cli("entry", "create", "--spiffe-id", WEB, "--selector", "unix:uid:2")
    other = mesh.cli("entry", "create", "--spiffe-id", f"spiffe://{TRUST_DOMAIN}/shop", "--selector", "unix:uid:3")

    check.assertEqual(mesh.cli("entry", "show", other["id"]), {"entries": [other]})
    of_web = mesh.cli("entry", "show", WEB)["entries"]
    check.assertEqual(sorted(entry["id"] for entry in of_web), sorted([first["id"], second["id"]]))
    check.assertIn(first, of_web)

    text = mesh.run_cli("entry", "show", first["id"]).stdout
    for line in (f"entry {first['id']}", f"SPIFFE ID  {WEB}", "parent     (every agent)",
                 f"selectors  {' and '.join(first['selectors'])}", "TTL        10m", "DNS names  web.example.org",
                 "hint       public", f"created    {first['created_at']}"):
        check.assertIn(line, text)
    check.assertIn("hint       (none)", mesh.run_cli("entry", "show", second["id"]).stdout)

    # Only what was named is shown, and what is not there is said.
    for code, named, why in ((1, first["id"][:8], "there is no entry"), (1, f"{WEB}/x", f"no entry gives {WEB}/x"),
                             (2, "spiffe:/x", "entry show --help"), (2, "http://example.org/web", "entry show --help")):
        done = mesh.run_cli("entry", "show", named)
        check.assertEqual((done.returncode, done.stdout), (code, ""), f"{named}: {done.stderr}")
        check.assertIn(why, done.stderr)
