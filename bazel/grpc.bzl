"""lanyard_proto_library: C++ from a .proto with Debian's protoc and grpc_cpp_plugin."""

def _protos(target):
    """The .proto files of another target of this macro."""
    if ":" not in target:
        target += ":" + target.split("/")[-1]
    return target + "_protos"

def lanyard_proto_library(name, src, deps = [], grpc = False):
    """Generates and compiles one .proto file.

    Args:
      name: the cc_library to depend on.
      src: the .proto file; it is imported by its path from the workspace root.
      deps: targets of this macro that src imports, and those that these import.
      grpc: True generates the service's stubs too (src.grpc.pb.h).
    """
    stem = src[:-len(".proto")]
    outs = [stem + ".pb.h", stem + ".pb.cc"]
    command = "protoc -I. -I/usr/include --cpp_out=$(GENDIR)"
    if grpc:
        outs += [stem + ".grpc.pb.h", stem + ".grpc.pb.cc"]
        command += " --grpc_out=$(GENDIR) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin"
    native.filegroup(
        name = name + "_protos",
        srcs = [src] + [_protos(dep) for dep in deps],
    )
    native.genrule(
        name = name + "_codegen",
        srcs = [":" + name + "_protos"],
        outs = outs,
        cmd = command + " " + native.package_name() + "/" + src,
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        deps = deps + ["//bazel/debian:grpc" if grpc else "//bazel/debian:protobuf"],
    )
