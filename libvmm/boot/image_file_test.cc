// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/image_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

// A path of the test's own; the file is removed at the end.
class TemporaryPath {
 public:
  explicit TemporaryPath(const std::string& name)
      : path_(::testing::TempDir() + "/image_file_test." +
              std::to_string(::getpid()) + "." + name) {}
  ~TemporaryPath() { ::unlink(path_.c_str()); }

  const std::string& operator*() const { return path_; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

std::string Text(const ImageFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

TEST(ImageFileTest, HoldsTheBytesOfTheFile) {
  const TemporaryPath path("plain");
  WriteFile(*path, "image");
  ASSERT_OK_AND_ASSIGN(ImageFile file, ImageFile::Open(*path));
  EXPECT_EQ(Text(file), "image");
  const std::byte* const data = file.bytes().data();
  const ImageFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().data(), data);
}

TEST(ImageFileTest, LaterChangesOfTheFileAreNotSeen) {
  const TemporaryPath path("changed");
  WriteFile(*path, "before");
  ASSERT_OK_AND_ASSIGN(const ImageFile file, ImageFile::Open(*path));
  ASSERT_EQ(::truncate((*path).c_str(), 0), 0);
  EXPECT_EQ(Text(file), "before");
}

TEST(ImageFileTest, EmptyFileOpens) {
  const TemporaryPath path("empty");
  WriteFile(*path, "");
  ASSERT_OK_AND_ASSIGN(const ImageFile file, ImageFile::Open(*path));
  EXPECT_TRUE(file.bytes().empty());
}

TEST(ImageFileTest, MissingFileIsNotFound) {
  EXPECT_THAT(ImageFile::Open("/nonexistent/image"),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("open(/nonexistent/image): ENOENT")));
}

TEST(ImageFileTest, OnlyRegularFilesOpen) {
  EXPECT_THAT(ImageFile::Open("/"), StatusIs(absl::StatusCode::kInvalidArgument,
                                             "/ is not a regular file"));
  EXPECT_THAT(ImageFile::Open("/dev/zero"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "/dev/zero is not a regular file"));
  const TemporaryPath fifo("fifo");
  ASSERT_EQ(::mkfifo((*fifo).c_str(), 0600), 0);
  EXPECT_THAT(ImageFile::Open(*fifo),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       *fifo + " is not a regular file"));
}

TEST(ImageFileTest, LargerThanTheLimitIsRefused) {
  const TemporaryPath path("large");
  WriteFile(*path, "12345");
  EXPECT_OK(ImageFile::Open(*path, 5));
  EXPECT_THAT(ImageFile::Open(*path, 4),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       *path + " is 5 bytes long, more than the limit of 4"));
  // A sparse file of 1 TiB costs nothing to make and must cost nothing to
  // refuse.
  ASSERT_EQ(::truncate((*path).c_str(), off_t{1} << 40), 0);
  EXPECT_THAT(ImageFile::Open(*path),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more than the limit of 1073741824")));
}

TEST(ImageFileTest, CopyIsIndependentOfItsSource) {
  std::vector<std::byte> source = {std::byte{1}, std::byte{2}};
  ASSERT_OK_AND_ASSIGN(const ImageFile image, ImageFile::Copy(source));
  source[0] = std::byte{9};
  ASSERT_EQ(image.bytes().size(), 2u);
  EXPECT_EQ(image.bytes()[0], std::byte{1});
  EXPECT_EQ(image.bytes()[1], std::byte{2});
  ASSERT_OK_AND_ASSIGN(const ImageFile empty, ImageFile::Copy({}));
  EXPECT_TRUE(empty.bytes().empty());
}

}  // namespace
}  // namespace libvmm
