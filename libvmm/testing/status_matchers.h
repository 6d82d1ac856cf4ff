// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_STATUS_MATCHERS_H_
#define LIBVMM_TESTING_STATUS_MATCHERS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::testing {

inline const absl::Status& GetStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

// Matches an OK Status or StatusOr. On purpose there is no "not OK": a test
// names the code.
MATCHER(IsOk, "is OK") {
  if (GetStatus(arg).ok()) return true;
  *result_listener << GetStatus(arg).ToString();
  return false;
}

// Matches a Status or StatusOr by code, and its message by `message` (a matcher
// or a string).
//   EXPECT_THAT(Kvm::Open("/nope"), StatusIs(absl::StatusCode::kNotFound,
//                                            HasSubstr("/nope")));
MATCHER_P2(StatusIs, code, message,
           "has code " + absl::StatusCodeToString(code)) {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code &&
         ::testing::Value(std::string(GetStatus(arg).message()), message);
}
MATCHER_P(StatusIs, code, "has code " + absl::StatusCodeToString(code)) {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code;
}

}  // namespace libvmm::testing

// Evaluates a StatusOr, fails the test fatally unless it is OK, and declares or
// assigns its value:
//   ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
#define ASSERT_OK_AND_ASSIGN(declaration, expression)                  \
  LIBVMM_ASSERT_OK_AND_ASSIGN_IMPL_(                                   \
      LIBVMM_TEST_CONCAT_(libvmm_test_result_, __LINE__), declaration, \
      expression)
#define LIBVMM_ASSERT_OK_AND_ASSIGN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                              \
  ASSERT_TRUE(result.ok()) << result.status().ToString();                  \
  declaration = *std::move(result)
#define LIBVMM_TEST_CONCAT_(a, b) LIBVMM_TEST_CONCAT_INNER_(a, b)
#define LIBVMM_TEST_CONCAT_INNER_(a, b) a##b

#define EXPECT_OK(expression) \
  EXPECT_THAT((expression), ::libvmm::testing::IsOk())
#define ASSERT_OK(expression) \
  ASSERT_THAT((expression), ::libvmm::testing::IsOk())

#endif  // LIBVMM_TESTING_STATUS_MATCHERS_H_
