// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/block_traits.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(BlockTraitsTest, WhatDisksHaveIsValid) {
  EXPECT_OK(BlockTraits().Validate(""));
  EXPECT_OK(BlockTraits({.block_size = 512,
                         .physical_block_size = 4096,
                         .optimal_size = 65536})
                .Validate(""));
  EXPECT_OK(BlockTraits({.block_size = 65536, .physical_block_size = 65536})
                .Validate(""));
}

TEST(BlockTraitsTest, WhatCannotBeIsNamed) {
  const struct {
    BlockTraits traits;
    const char* field;
  } rows[] = {
      {{.block_size = 0}, "who block_size 0"},
      {{.block_size = 256}, "block_size 256"},
      {{.block_size = 1000}, "block_size 1000"},
      {{.block_size = 131072, .physical_block_size = 131072}, "block_size"},
      {{.block_size = 4096, .physical_block_size = 512},
       "physical_block_size 512"},
      {{.physical_block_size = 131072}, "physical_block_size 131072"},
      {{.physical_block_size = 1536}, "physical_block_size 1536"},
      {{.optimal_size = 100}, "optimal_size 100"},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(
        row.traits.Validate("who "),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.field)));
  }
}

}  // namespace
}  // namespace libvmm
