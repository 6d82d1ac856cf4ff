// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/file_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::unique_ptr<FileSystem> Mount(FileTreeBuilder builder) {
  FileSystem::Options options;
  options.tree = std::move(builder).Build();
  return *FileSystem::Create(std::move(options));
}

std::string Contents(FileSystem& files, absl::string_view path) {
  auto contents = files.ReadFile(path);
  EXPECT_OK(contents);
  return contents.value_or("");
}

FileStat StatOf(FileSystem& files, absl::string_view path) {
  FileStat stat;
  EXPECT_EQ(files.Stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, stat), 0) << path;
  return stat;
}

std::vector<std::string> Names(FileSystem& files, absl::string_view path) {
  std::vector<std::string> names;
  const auto listed = files.List(path);
  EXPECT_OK(listed);
  for (const auto& entry : *listed) names.push_back(entry.name);
  return names;
}

// A directory of the host's that goes with it.
class HostDirectory {
 public:
  HostDirectory() {
    std::string name = absl::StrCat(::testing::TempDir(), "/file_tree_XXXXXX");
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  HostDirectory(const HostDirectory&) = delete;
  HostDirectory& operator=(const HostDirectory&) = delete;
  ~HostDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string Path(const std::string& name) const {
    return (path_ / name).string();
  }
  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(Path(name), std::ios::binary) << contents;
  }

 private:
  fs::path path_;
};

TEST(FileTreeTest, HasFilesWithTheirAttributes) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/etc/motd", "hello",
                            {.mode = 04751,
                             .user = 7,
                             .group = 8,
                             .modify_time = absl::FromUnixSeconds(99)}));
  const auto files = Mount(std::move(builder));
  EXPECT_EQ(Contents(*files, "/etc/motd"), "hello");
  const FileStat stat = StatOf(*files, "/etc/motd");
  EXPECT_EQ(stat.mode, S_IFREG | 04751u);
  EXPECT_EQ(stat.user, 7u);
  EXPECT_EQ(stat.group, 8u);
  EXPECT_EQ(stat.size, 5u);
  EXPECT_EQ(stat.links, 1u);
  EXPECT_EQ(stat.modify_time, absl::FromUnixSeconds(99));
}

TEST(FileTreeTest, MakesMissingParents) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/a/b/c", ""));
  const auto files = Mount(std::move(builder));
  EXPECT_EQ(StatOf(*files, "/a").mode, S_IFDIR | 0755u);
  EXPECT_EQ(StatOf(*files, "/a").links, 3u);
  EXPECT_EQ(StatOf(*files, "/a/b").links, 2u);
}

TEST(FileTreeTest, AddDirectorySetsAttributesOfOneThatIsThere) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/a/b", ""));
  EXPECT_OK(builder.AddDirectory("/a", {.mode = 0700}));
  EXPECT_OK(builder.AddDirectory("/", {.mode = 0711}));
  const auto files = Mount(std::move(builder));
  EXPECT_EQ(StatOf(*files, "/a").mode, S_IFDIR | 0700u);
  EXPECT_EQ(StatOf(*files, "/").mode, S_IFDIR | 0711u);
  EXPECT_THAT(Names(*files, "/a"), ElementsAre("b"));
}

TEST(FileTreeTest, CountsFilesAndBytes) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/a/b", "12345"));
  EXPECT_OK(builder.AddFile("/c", "678"));
  const auto tree = std::move(builder).Build();
  EXPECT_EQ(tree->size(), 4u);
  EXPECT_EQ(tree->bytes(), 8u);
}

TEST(FileTreeTest, RefusesWhatIsNoPath) {
  struct Row {
    std::string path;
    const char* says;
  };
  const Row rows[] = {
      {"", "not absolute"},
      {"a", "not absolute"},
      {"/", "1 to 255"},
      {"/a/", "1 to 255"},
      {"/a//b", "1 to 255"},
      {"/a/../b", "\"..\""},
      {"/./b", "\".\""},
      {"/" + std::string(256, 'n'), "1 to 255"},
      {std::string("/a\0b", 4), "NUL"},
      {"/a" + std::string(4094, '/'), "4095"},
      {"/file/below", "not a directory"},
      {"/link/below", "not a directory"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.path.substr(0, 40));
    FileTreeBuilder builder;
    EXPECT_OK(builder.AddFile("/file", ""));
    EXPECT_OK(builder.AddSymlink("/link", "/"));
    EXPECT_THAT(
        builder.AddFile(row.path, ""),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.says)));
  }
}

TEST(FileTreeTest, RefusesWhatIsThereAlready) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/a/b", ""));
  for (const char* path : {"/a", "/a/b"}) {
    EXPECT_THAT(builder.AddFile(path, ""),
                StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(path)));
  }
  EXPECT_THAT(builder.AddDirectory("/a/b"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("/a/b")));
}

TEST(FileTreeTest, RefusesBadModesAndTargets) {
  FileTreeBuilder builder;
  EXPECT_THAT(builder.AddFile("/a", "", {.mode = 0100644}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/a")));
  for (const std::string& target :
       {std::string(), std::string(4096, 't'), std::string("a\0b", 3)}) {
    EXPECT_THAT(builder.AddSymlink("/l", target),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/l")));
  }
  EXPECT_OK(builder.AddSymlink("/l", std::string(4095, 't')));
}

TEST(FileTreeTest, CopiesAHostFile) {
  const HostDirectory host;
  host.Write("f", "from the host");
  ASSERT_EQ(::chmod(host.Path("f").c_str(), 0750), 0);
  fs::create_symlink("f", host.Path("link"));
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddHostFile("/bin/f", host.Path("link")));
  host.Write("f", "changed since");
  const auto files = Mount(std::move(builder));
  EXPECT_EQ(Contents(*files, "/bin/f"), "from the host");
  EXPECT_EQ(StatOf(*files, "/bin/f").mode, S_IFREG | 0750u);
  EXPECT_EQ(StatOf(*files, "/bin/f").user, 0u);
}

TEST(FileTreeTest, RefusesHostFilesThatAreNone) {
  const HostDirectory host;
  host.Write("f", "12345");
  ASSERT_EQ(::mkfifo(host.Path("pipe").c_str(), 0600), 0);
  FileTreeBuilder builder;
  EXPECT_THAT(builder.AddHostFile("/f", host.Path("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(builder.AddHostFile("/f", host.Path("pipe")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pipe")));
  EXPECT_THAT(builder.AddHostFile("/f", host.Path("")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not a regular file")));
  EXPECT_THAT(builder.AddHostFile("/f", host.Path("f"), 4),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("5")));
  EXPECT_OK(builder.AddHostFile("/f", host.Path("f"), 5));
}

TEST(FileTreeTest, CopiesAHostDirectoryWithLinksAsText) {
  const HostDirectory host;
  const HostDirectory elsewhere;
  elsewhere.Write("secret", "not to be seen");
  host.Write("f", "one");
  fs::create_directories(host.Path("d/e"));
  host.Write("d/e/g", "two");
  fs::create_symlink(elsewhere.Path("secret"), host.Path("out"));
  fs::create_symlink(elsewhere.Path(""), host.Path("d/out"));
  fs::create_symlink("../f", host.Path("d/in"));
  ASSERT_EQ(::mkfifo(host.Path("pipe").c_str(), 0600), 0);
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddHostDirectory("/top/sub", host.Path("")));
  const auto files = Mount(std::move(builder));
  EXPECT_THAT(Names(*files, "/top/sub"), ElementsAre("d", "f", "out"));
  EXPECT_THAT(Names(*files, "/top/sub/d"), ElementsAre("e", "in", "out"));
  EXPECT_EQ(Contents(*files, "/top/sub/d/e/g"), "two");
  EXPECT_EQ(Contents(*files, "/top/sub/d/in"), "one");
  EXPECT_THAT(files->ReadFile("/top/sub/out"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(files->ReadFile("/top/sub/d/out/secret"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(FileTreeTest, CopiesAHostDirectoryToTheRoot) {
  const HostDirectory host;
  host.Write("f", "one");
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddHostDirectory("/", host.Path("")));
  const auto files = Mount(std::move(builder));
  EXPECT_EQ(Contents(*files, "/f"), "one");
}

TEST(FileTreeTest, BoundsAHostDirectory) {
  const HostDirectory host;
  host.Write("a", "12345");
  host.Write("b", "12345");
  fs::create_directories(host.Path("c/d"));
  const auto add = [&](const HostDirectoryLimits& limits) {
    FileTreeBuilder builder;
    return builder.AddHostDirectory("/x", host.Path(""), limits);
  };
  EXPECT_OK(add({.bytes = 10, .files = 4, .depth = 3}));
  EXPECT_THAT(add({.bytes = 9}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("/b")));
  EXPECT_THAT(add({.files = 3}), StatusIs(absl::StatusCode::kResourceExhausted,
                                          HasSubstr("c/d is one file more")));
  EXPECT_THAT(add({.files = 2}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(add({.depth = 2}), StatusIs(absl::StatusCode::kResourceExhausted,
                                          HasSubstr("c/d is more than 2")));
}

TEST(FileTreeTest, NamesAHostDirectoryThatIsNone) {
  const HostDirectory host;
  host.Write("f", "");
  FileTreeBuilder builder;
  EXPECT_THAT(builder.AddHostDirectory("/x", host.Path("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_FALSE(builder.AddHostDirectory("/x", host.Path("f")).ok());
}

}  // namespace
}  // namespace libvmm::sandbox
