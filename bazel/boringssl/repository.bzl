"""How BoringSSL reaches the build: @boringssl//:ssl and @boringssl//:crypto."""

_DISTFILES = "/var/cache/lanyard/distfiles"

def _from_prefix(ctx, prefix):
    for part in ["include/openssl/ssl.h", "lib/libssl.a", "lib/libcrypto.a"]:
        if not ctx.path(prefix + "/" + part).exists:
            fail("LANYARD_BORINGSSL=%s has no %s: point it at an installed BoringSSL, or unset it to use Debian's source package." % (prefix, part))
    ctx.symlink(prefix + "/include", "include")
    ctx.symlink(prefix + "/lib", "lib")
    ctx.symlink(Label("//bazel/boringssl:prefix.BUILD"), "BUILD.bazel")

def _from_source(ctx):
    directory = ctx.os.environ.get("LANYARD_DISTFILES", _DISTFILES)
    archive = ctx.path(directory + "/" + ctx.attr.archive)
    if not archive.exists:
        fail("BoringSSL's source %s is missing: run deploy/dependencies.sh, which fetches it through apt." % archive)
    result = ctx.execute(["sha256sum", str(archive)])
    found = result.stdout.split(" ")[0]
    if result.return_code != 0 or found != ctx.attr.sha256:
        fail("BoringSSL's source %s has SHA-256 %s instead of %s: delete it and run deploy/dependencies.sh again." % (archive, found or "(unreadable)", ctx.attr.sha256))
    ctx.extract(archive, stripPrefix = ctx.attr.strip_prefix)
    ctx.delete("BUILD")
    ctx.delete("src/rust")
    ctx.symlink(Label("//bazel/boringssl:source.BUILD"), "BUILD.bazel")

def _boringssl_repository(ctx):
    prefix = ctx.os.environ.get("LANYARD_BORINGSSL", "")
    if prefix:
        _from_prefix(ctx, prefix)
    else:
        _from_source(ctx)

boringssl_repository = repository_rule(
    implementation = _boringssl_repository,
    attrs = {
        "archive": attr.string(mandatory = True),
        "sha256": attr.string(mandatory = True),
        "strip_prefix": attr.string(),
    },
    environ = ["LANYARD_BORINGSSL", "LANYARD_DISTFILES"],
)
