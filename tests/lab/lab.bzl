"""How Bazel's tests get into the stock-KVM lab."""

def _lab_aspect_impl(target, ctx):
    executable = target[DefaultInfo].files_to_run.executable
    if executable == None:
        return []
    runfiles = target[DefaultInfo].default_runfiles.files
    manifest = ctx.actions.declare_file(ctx.label.name + ".lab.json")
    ctx.actions.write(manifest, struct(
        label = "//%s:%s" % (ctx.label.package, ctx.label.name),
        program = executable.short_path,
        arguments = getattr(ctx.rule.attr, "args", []),
        timeout = getattr(ctx.rule.attr, "timeout", "moderate"),
        tags = ctx.rule.attr.tags,
        files = [[file.short_path, file.path] for file in runfiles.to_list()],
    ).to_json())
    files = depset([manifest, executable], transitive = [runfiles])
    return [
        OutputGroupInfo(lab = files),
        LabInfo(files = files),
    ]

LabInfo = provider(fields = {"files": "a depset: the manifest and what it names"})

# Writes NAME.lab.json beside a test: what tools/lib/lab/jobs.py must know to run
# it elsewhere.
lab_aspect = aspect(implementation = _lab_aspect_impl)

def _lab_tests_impl(ctx):
    files = depset(transitive = [test[LabInfo].files for test in ctx.attr.tests])
    return [DefaultInfo(
        files = files,
        runfiles = ctx.runfiles(transitive_files = files),
    )]

_lab_tests = rule(
    implementation = _lab_tests_impl,
    attrs = {"tests": attr.label_list(aspects = [lab_aspect])},
)

def lab_tests(name = "lab_tests"):
    """As data of a test: this package's tests with the tag stock_kvm.

    It stands last in a BUILD file, since it sees the rules above it only.
    """
    _lab_tests(
        name = name,
        testonly = True,
        tests = [
            ":" + rule["name"]
            for rule in native.existing_rules().values()
            if "stock_kvm" in rule.get("tags", [])
        ],
        visibility = ["//tests/lab:__pkg__"],
    )
