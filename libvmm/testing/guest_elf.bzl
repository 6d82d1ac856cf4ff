"""Freestanding 64-bit programs for guests, built from C."""

# What a guest needs whatever the host is built with: it has no C library, no
# thread-local storage, no red zone under its interrupts, and CPL 0 code must do
# without vector instructions where KVM emulates it.
_GUEST_FLAGS = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,max-page-size=4096",
]

def guest_elf(name, srcs, linker_script, copts = [], **kwargs):
    """Links srcs by linker_script to name.elf. With the copt -m32, for 32 bits.

    A genrule and not a cc_binary, so that --config=asan, tsan, fuzz and coverage,
    whose flags are for host programs, leave the guest as it is.
    """
    native.genrule(
        name = name,
        srcs = srcs + [linker_script],
        outs = [name + ".elf"],
        cmd = "$(CC) %s -Wl,-T,$(location %s) -o $@ %s" % (
            " ".join(_GUEST_FLAGS + copts),
            linker_script,
            " ".join(["$(location %s)" % src for src in srcs]),
        ),
        toolchains = ["@bazel_tools//tools/cpp:current_cc_toolchain"],
        **kwargs
    )
