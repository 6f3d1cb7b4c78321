"""lanyard_fuzz_test: a fuzz target that every ordinary test run exercises too."""

def lanyard_fuzz_test(name, srcs, deps, corpus = [], max_len = 4096):
    """Builds a test from a file that defines LLVMFuzzerTestOneInput.

    An ordinary `bazel test` (asan and tsan as well) runs the corpus and a fixed number of seeded
    mutations of it. With --config=fuzz it is a libFuzzer binary: `bazel test` fuzzes for ten seconds,
    and `bazel run --config=fuzz //x:y_fuzz -- -max_total_time=600` for as long as one likes.

    Args:
      name: x_fuzz, for the file x_fuzz.cc.
      srcs: the file with LLVMFuzzerTestOneInput.
      deps: what it tests.
      corpus: files to start from, usually glob(["testdata/x/*"]).
      max_len: longest input, in bytes.
    """
    files = ["$(rootpath %s)" % file for file in corpus]
    native.cc_test(
        name = name,
        size = "small",
        srcs = srcs + select({
            "//bazel:libfuzzer": [],
            "//conditions:default": ["//bazel:fuzz_main.cc"],
        }),
        args = select({
            "//bazel:libfuzzer": [
                "-max_total_time=10",
                "-seed=1",
                "-max_len=%d" % max_len,
                "-print_final_stats=1",
            ] + (["-seed_inputs=" + ",".join(files)] if files else []),
            "//conditions:default": ["--max_len=%d" % max_len] + files,
        }),
        data = corpus,
        linkopts = select({
            "//bazel:libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"],
        deps = deps,
    )
