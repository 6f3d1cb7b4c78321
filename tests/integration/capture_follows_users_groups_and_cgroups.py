from kit.captured import FAR, NEAR, OTHER_UID, PROXY_UID, Captured, make_cgroup
from kit.scope import check

OTHER_GID = 21004


def test(scope):
    chosen, rest = make_cgroup(scope, "chosen"), make_cgroup(scope, "rest")
    pair = Captured(scope)
    pair.listen_in(chosen, 8080)
    for mode in ("redirect", "tproxy"):
        up = ("up", "--proxy-uid", str(PROXY_UID), "--mode", mode)
        by_user_and_group(pair, up)
        by_cgroup(pair, up, chosen, rest)


def by_user_and_group(pair, up):
    near, far = pair.near, pair.far
    pair.capture(*up, "--include-uids", str(OTHER_UID))
    pair.expect({(FAR[0], 80, near, OTHER_UID): "outbound", (FAR[1], 80, near, OTHER_UID): "outbound",
                 (FAR[0], 80, near, 0): "application", (NEAR[0], 80, far, OTHER_UID): "inbound"})
    pair.capture(*up, "--include-gids", str(OTHER_GID))
    check.assertEqual(pair.hear(FAR[1], 80, gid=OTHER_GID), "outbound")
    check.assertEqual(pair.hear(FAR[1], 80), "application")
    pair.capture(*up, "--exclude-gids", str(OTHER_GID))
    check.assertEqual(pair.hear(FAR[0], 80, gid=OTHER_GID), "application")
    check.assertEqual(pair.hear(FAR[0], 80), "outbound")


def by_cgroup(pair, up, chosen, rest):
    near, far = pair.near, pair.far
    pair.capture(*up, "--cgroup", str(chosen))
    for v in (0, 1):
        check.assertEqual(pair.hear(FAR[v], 80, cgroup=chosen), "outbound")
        check.assertEqual(pair.hear(FAR[v], 80, cgroup=rest), "application")
        # Of those that are called, the server's cgroup counts.
        pair.expect({(NEAR[v], 8080, far, OTHER_UID): "inbound", (NEAR[v], 80, far, OTHER_UID): "application"})
    # Its name below the root is as good, and a user included beside it is taken too.
    pair.capture(*up, "--cgroup", chosen.name, "--include-uids", str(OTHER_UID))
    check.assertEqual(pair.hear(FAR[0], 80, cgroup=chosen), "outbound")
    check.assertEqual(pair.hear(FAR[0], 80), "outbound")
    check.assertEqual(pair.hear(FAR[0], 80, near, 0), "application")
    pair.capture(*up, "--exclude-cgroups", str(chosen))
    check.assertEqual(pair.hear(FAR[0], 80, cgroup=chosen), "application")
    check.assertEqual(pair.hear(FAR[0], 80, cgroup=rest), "outbound")
    pair.expect({(NEAR[0], 8080, far, OTHER_UID): "application", (NEAR[0], 80, far, OTHER_UID): "inbound"})
