"""What a program outside Bazel needs of libraries: headers, archives, link flags."""

def _installed_files_impl(ctx):
    headers = [dep[CcInfo].compilation_context.headers for dep in ctx.attr.deps]
    archives = []
    flags = []
    for dep in ctx.attr.deps:
        for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
            flags += linker_input.user_link_flags
            for library in linker_input.libraries:
                archives.append(library.static_library or library.pic_static_library)
    link_line = ctx.actions.declare_file(ctx.label.name + ".link")
    ctx.actions.write(
        link_line,
        "\n".join([archive.short_path for archive in archives] + flags) + "\n",
    )
    return [DefaultInfo(
        files = depset([link_line]),
        runfiles = ctx.runfiles(
            files = archives + [link_line],
            transitive_files = depset(transitive = headers),
        ),
    )]

# As data of a test: the headers and static archives of `deps` and of all they
# depend on, at their paths in the repository, and the file NAME.link with the
# archives and linker flags in link order, one a line.
installed_files = rule(
    implementation = _installed_files_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
)
