// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/errno_status.h"

#include <cerrno>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

TEST(ErrnoStatusTest, NamesCallErrnoAndText) {
  EXPECT_EQ(ErrnoStatus(EEXIST, "ioctl(KVM_CREATE_VCPU, id 0)").message(),
            "ioctl(KVM_CREATE_VCPU, id 0): EEXIST: File exists");
  EXPECT_EQ(ErrnoStatus(4095, "call").message(),
            "call: errno 4095: unknown error");
}

TEST(ErrnoStatusTest, CodesSayWhatToDoNext) {
  const struct {
    int error;
    absl::StatusCode code;
  } rows[] = {
      {ENOTTY, absl::StatusCode::kUnimplemented},
      {ENOSYS, absl::StatusCode::kUnimplemented},
      {EOPNOTSUPP, absl::StatusCode::kUnimplemented},
      {ENOMEM, absl::StatusCode::kResourceExhausted},
      {EMFILE, absl::StatusCode::kResourceExhausted},
      {ENFILE, absl::StatusCode::kResourceExhausted},
      {EBADF, absl::StatusCode::kFailedPrecondition},
      {EIO, absl::StatusCode::kInternal},
      {EINVAL, absl::StatusCode::kInvalidArgument},
      {EEXIST, absl::StatusCode::kAlreadyExists},
      {ENOENT, absl::StatusCode::kNotFound},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EINTR, absl::StatusCode::kUnavailable},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(ErrnoStatus(row.error, "call").code(), row.code) << row.error;
  }
}

TEST(ErrnoStatusTest, ErrnosWithOneCodeAreToldApart) {
  const absl::Status bad_address = ErrnoStatus(EFAULT, "call");
  EXPECT_EQ(bad_address.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(IsErrno(bad_address, EFAULT));
  EXPECT_FALSE(IsErrno(bad_address, EINVAL));
  EXPECT_FALSE(IsErrno(bad_address, E2BIG));
  EXPECT_TRUE(IsErrno(ErrnoStatus(4095, "call"), 4095));
  EXPECT_FALSE(IsErrno(absl::OkStatus(), EINVAL));
  EXPECT_FALSE(IsErrno(absl::InvalidArgumentError("by hand"), EINVAL));
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}
absl::StatusOr<int> Quarter(int value, int& evaluations) {
  LIBVMM_ASSIGN_OR_RETURN(const int half, (++evaluations, Half(value)));
  LIBVMM_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusMacrosTest, PassErrorsUpAndEvaluateOnce) {
  int evaluations = 0;
  ASSERT_OK_AND_ASSIGN(const int quarter, Quarter(12, evaluations));
  EXPECT_EQ(quarter, 3);
  EXPECT_EQ(evaluations, 1);
  EXPECT_THAT(Quarter(7, evaluations),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Quarter(6, evaluations),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
