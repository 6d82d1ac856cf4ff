// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/unique_fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
UniqueFd OpenNull() {
  return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

TEST(UniqueFdTest, ClosesAtTheEndOfItsLifeAndKeepsErrno) {
  int number;
  {
    const UniqueFd fd = OpenNull();
    number = fd.get();
    ASSERT_TRUE(fd.valid());
    EXPECT_TRUE(IsOpen(number));
    errno = E2BIG;
  }
  EXPECT_EQ(errno, E2BIG);
  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, MovesLeaveNothingBehind) {
  UniqueFd first = OpenNull();
  const int number = first.get();
  UniqueFd second = std::move(first);
  EXPECT_EQ(second.get(), number);
  UniqueFd third = OpenNull();
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_FALSE(IsOpen(replaced));
  EXPECT_EQ(third.get(), number);
  UniqueFd& same = third;
  third = std::move(same);
  EXPECT_TRUE(IsOpen(number));
}

TEST(UniqueFdTest, ReleaseGivesTheDescriptorUp) {
  UniqueFd fd = OpenNull();
  const int number = fd.Release();
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(number));
  ::close(number);
}

TEST(UniqueFdTest, NegativeNumbersAreNothing) {
  EXPECT_EQ(UniqueFd(-17).get(), -1);
  EXPECT_FALSE(UniqueFd().valid());
}

TEST(UniqueFdTest, DuplicateIsAnotherNumberClosedOnExec) {
  const UniqueFd fd = OpenNull();
  ASSERT_OK_AND_ASSIGN(const UniqueFd copy, fd.Duplicate());
  EXPECT_NE(copy.get(), fd.get());
  EXPECT_EQ(::fcntl(copy.get(), F_GETFD), FD_CLOEXEC);
}

TEST(UniqueFdTest, DuplicateOfNothingFails) {
  EXPECT_THAT(UniqueFd().Duplicate(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("fcntl(-1, F_DUPFD_CLOEXEC): EBADF")));
}

TEST(UniqueFdTest, DuplicateAtTheLimitIsResourceExhausted) {
  const UniqueFd fd = OpenNull();
  rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit none = old;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::StatusOr<UniqueFd> copy = fd.Duplicate();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  // F_DUPFD answers EINVAL when even its lowest number is above the limit.
  EXPECT_THAT(copy, StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
