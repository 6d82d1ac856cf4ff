// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/open_beneath.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"

namespace libvmm::internal {
namespace {

using ::libvmm::testing::ShareTestDirectory;

TEST(OpenBeneathTest, PathsThatLeaveTheDirectoryAreRefused) {
  ShareTestDirectory share;
  share.MakeDirectory("d");
  share.WriteFile("d/f", "text");
  share.MakeLink("up", "..");
  share.MakeLink("out", share.Outside("vault"));
  share.MakeLink("inside", "d");
  share.MakeLink("d/file", "f");
  const struct {
    std::string path;
    int error;
  } kTable[] = {
      {"d/f", 0},
      {".", 0},
      {"d/..", 0},
      {"d/file", 0},  // The link itself, by O_PATH.
      {"up", 0},
      {"..", EXDEV},
      {"../secret", EXDEV},
      {"d/../../secret", EXDEV},
      {share.Outside("secret"), EXDEV},
      {"/", EXDEV},
      {"up/secret", ELOOP},
      {"out/gold", ELOOP},
      // Links that lead nowhere else are no better.
      {"inside/f", ELOOP},
      {"absent", ENOENT},
      {"d/f/g", ENOTDIR},
  };
  const UniqueFd root(::open(share.Path().c_str(), O_PATH | O_DIRECTORY, 0));
  const Beneath beneath(/*cross_mounts=*/true);
  for (const auto& row : kTable) {
    UniqueFd opened;
    EXPECT_EQ(beneath.Open(root.get(), row.path.c_str(), O_PATH, 0, opened),
              row.error)
        << row.path;
    EXPECT_EQ(opened.valid(), row.error == 0);
  }
}

TEST(OpenBeneathTest, LinksAreNotOpenedForReadingNorMadeThrough) {
  ShareTestDirectory share;
  share.WriteFile("f", "text");
  share.MakeLink("l", "f");
  share.MakeLink("dangling", "../made");
  const UniqueFd root(::open(share.Path().c_str(), O_PATH | O_DIRECTORY, 0));
  const Beneath beneath(/*cross_mounts=*/false);
  UniqueFd opened;
  EXPECT_EQ(beneath.Open(root.get(), "l", O_RDONLY, 0, opened), ELOOP);
  EXPECT_EQ(
      beneath.Open(root.get(), "dangling", O_RDWR | O_CREAT, 0600, opened),
      ELOOP);
  struct stat stat;
  EXPECT_NE(::lstat(share.Outside("made").c_str(), &stat), 0);
}

TEST(OpenBeneathTest, DescriptorsAreNotInherited) {
  ShareTestDirectory share;
  share.WriteFile("f", "text");
  const UniqueFd root(::open(share.Path().c_str(), O_PATH | O_DIRECTORY, 0));
  for (const int flags : {O_PATH, O_RDONLY}) {
    UniqueFd opened;
    ASSERT_EQ(Beneath(false).Open(root.get(), "f", flags, 0, opened), 0);
    EXPECT_EQ(::fcntl(opened.get(), F_GETFD), FD_CLOEXEC);
  }
}

}  // namespace
}  // namespace libvmm::internal
