"""Rules that every libvmm target is declared with.

A library is built without exceptions and RTTI, whatever the embedder's own
flags are. A fuzz target is one source file with LLVMFuzzerTestOneInput: with
--config=fuzz it links libFuzzer; otherwise it is an ordinary test that replays
its committed corpus and fixed pseudo-random inputs.
"""

_LIBRARY_COPTS = [
    "-fno-exceptions",
    "-fno-rtti",
]

def libvmm_cc_library(name, copts = [], **kwargs):
    native.cc_library(
        name = name,
        copts = _LIBRARY_COPTS + copts,
        **kwargs
    )

def libvmm_cc_test(name, deps = [], tags = [], **kwargs):
    """A googletest binary from name.cc.

    It gets the tag stock_kvm, with which it also runs in the stock-KVM lab (see
    tests/lab), unless it has the tag no_stock_kvm. Tests of loaders and tables get
    the tag one_thread, see .bazelrc.
    """
    if native.package_name().startswith("libvmm/boot"):
        tags = tags + ["one_thread"]
    native.cc_test(
        name = name,
        srcs = kwargs.pop("srcs", [name + ".cc"]),
        tags = tags + ([] if "no_stock_kvm" in tags else ["stock_kvm"]),
        linkstatic = True,
        deps = deps + [
            "//third_party:gtest",
            "//third_party:gtest_main",
        ],
        **kwargs
    )

def libvmm_cc_fault_test(name, deps = [], **kwargs):
    """A googletest binary of FaultScenarios, which tools/fault_table runs."""
    libvmm_cc_test(
        name = name,
        tags = kwargs.pop("tags", []) + ["faults"],
        deps = deps + ["//libvmm/testing:fault_check"],
        **kwargs
    )

def libvmm_cc_fuzz(name, deps = [], **kwargs):
    """A fuzz target from name.cc; its corpus is testdata/name/."""
    corpus = native.glob(["testdata/%s/**" % name], allow_empty = True)
    native.cc_test(
        name = name,
        srcs = kwargs.pop("srcs", [name + ".cc"]),
        data = corpus,
        args = [native.package_name() + "/testdata/" + name],
        linkstatic = True,
        deps = deps + select({
            "//:fuzz": ["//libvmm/testing:libfuzzer"],
            "//conditions:default": ["//libvmm/testing:fuzz_replay"],
        }),
        tags = kwargs.pop("tags", []) + ["fuzz", "one_thread"],
        **kwargs
    )
