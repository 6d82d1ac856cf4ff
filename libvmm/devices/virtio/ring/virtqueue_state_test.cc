// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/virtqueue_state.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint16_t kWrap = 0x8000;
constexpr VirtqueueConfig kSplit{.size = 8};
constexpr VirtqueueConfig kPacked{.size = 7, .packed = true};

struct Case {
  const char* name;
  VirtqueueConfig config;
  VirtqueueState state;
  // Of the message; null if the state can be.
  const char* wrong = nullptr;
};

TEST(VirtqueueStateTest, SaysWhatCannotBe) {
  const Case kCases[] = {
      {"split, new", kSplit, {}},
      {"split, all in the device's hands", kSplit, {.next_available = 8}},
      {"split, more", kSplit, {.next_available = 9}, "next_available is 9"},
      {"split, indices go round",
       kSplit,
       {.next_available = 3, .next_used = 0xfffb, .signalled_used = 0xfffb}},
      {"split, used before available",
       kSplit,
       {.next_available = 5, .next_used = 6},
       "next_available is 65535"},
      {"packed, new",
       kPacked,
       {.next_available = kWrap, .next_used = kWrap, .signalled_used = kWrap}},
      {"packed, all in the device's hands",
       kPacked,
       {.next_available = 0, .next_used = kWrap, .signalled_used = kWrap}},
      {"packed, more",
       kPacked,
       {.next_available = 1, .next_used = kWrap, .signalled_used = kWrap},
       "next_available is 8"},
      {"packed, across the end",
       kPacked,
       {.next_available = kWrap | 2, .next_used = 5, .signalled_used = 5}},
      {"packed, used before available",
       kPacked,
       {.next_available = 5, .next_used = 6, .signalled_used = 6},
       "next_available is 13"},
      {"packed, available nowhere",
       kPacked,
       {.next_available = 7, .next_used = 6, .signalled_used = 6},
       "VirtqueueState.next_available is place 7"},
      {"packed, used nowhere",
       kPacked,
       {.next_available = 0, .next_used = kWrap | 7, .signalled_used = 6},
       "VirtqueueState.next_used is place 7"},
      {"packed, signalled nowhere",
       kPacked,
       {.next_available = 0, .next_used = 0, .signalled_used = 0x7fff},
       "VirtqueueState.signalled_used is place 32767"},
  };
  for (const Case& row : kCases) {
    SCOPED_TRACE(row.name);
    if (row.wrong == nullptr) {
      EXPECT_OK(row.state.Validate(row.config));
    } else {
      EXPECT_THAT(
          row.state.Validate(row.config),
          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.wrong)));
    }
  }
}

}  // namespace
}  // namespace libvmm
