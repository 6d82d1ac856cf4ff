"""Programs for tests of the sandbox, as the compilers of the machine make them.

Genrules and not cc_binary, so that --config=asan, tsan, fuzz and coverage, whose
flags are for host programs, leave them as they are.
"""

def c_program(name, src, flags, **kwargs):
    """Links src (C or C++) to the file `name`."""
    native.genrule(
        name = name + "_program",
        srcs = [src],
        outs = [name],
        cmd = "$(CC) -O2 -g0 -o $@ %s %s" % (
            "$(location %s)" % src,
            " ".join(flags),
        ),
        testonly = True,
        toolchains = ["@bazel_tools//tools/cpp:current_cc_toolchain"],
        **kwargs
    )

def rust_program(name, src, **kwargs):
    """Links src to the static-PIE `name`, with the distribution's compiler."""
    native.genrule(
        name = name + "_program",
        srcs = [src],
        outs = [name],
        cmd = "/usr/bin/rustc -O -C target-feature=+crt-static -C strip=debuginfo" +
              " -o $@ $(location %s)" % src,
        testonly = True,
        **kwargs
    )

def host_program(name, path, **kwargs):
    """A copy of the machine's own program at `path`."""
    native.genrule(
        name = name + "_program",
        outs = [name],
        cmd = "cp %s $@" % path,
        testonly = True,
        **kwargs
    )
