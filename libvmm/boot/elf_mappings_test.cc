// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/elf_mappings.h"

#include <cstddef>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/elf_builder.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::ElfBuilder;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

std::vector<std::byte> Bytes(size_t size) {
  return std::vector<std::byte>(size);
}

absl::StatusOr<std::vector<PageMapping>> Mappings(const ElfBuilder& elf,
                                                  bool user) {
  const std::vector<std::byte> file = elf.Build();
  auto image = ElfImage::Parse(file);
  EXPECT_OK(image);
  return ElfMappings(*image, user);
}

TEST(ElfMappingsTest, GivesWholePagesWithTheSegmentsRights) {
  ElfBuilder elf;
  // Given in falling order; they come back in rising order.
  elf.AddLoad({.gpa = Gpa(0x22040),
               .gva = Gva(0x402040),
               .contents = Bytes(16),
               .memory_size = 0x1000,
               .flags = PF_R | PF_W});
  elf.AddLoad({.gpa = Gpa(0x20000),
               .gva = Gva(0x400000),
               .contents = Bytes(16),
               .flags = PF_R | PF_X});
  ASSERT_OK_AND_ASSIGN(const auto mappings, Mappings(elf, true));
  ASSERT_EQ(mappings.size(), 2u);
  EXPECT_EQ(mappings[0].gva, Gva(0x400000));
  EXPECT_EQ(mappings[0].gpa, Gpa(0x20000));
  EXPECT_EQ(mappings[0].size, 0x1000u);
  EXPECT_EQ(mappings[0].access, (PageAccess{.executable = true, .user = true}));
  EXPECT_EQ(mappings[1].gva, Gva(0x402000));
  EXPECT_EQ(mappings[1].gpa, Gpa(0x22000));
  EXPECT_EQ(mappings[1].size, 0x2000u);
  EXPECT_EQ(mappings[1].access, (PageAccess{.writable = true, .user = true}));
}

TEST(ElfMappingsTest, KernelMappingsKeepUsersOut) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x1000), .contents = Bytes(1), .flags = PF_R | PF_X});
  ASSERT_OK_AND_ASSIGN(const auto mappings, Mappings(elf, false));
  EXPECT_EQ(mappings[0].access, (PageAccess{.executable = true}));
}

TEST(ElfMappingsTest, SegmentsWithoutRightsAreLeftOut) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x1000), .contents = Bytes(1), .flags = PF_R | PF_X});
  elf.AddLoad({.gpa = Gpa(0x1800), .contents = Bytes(1), .flags = 0});
  ASSERT_OK_AND_ASSIGN(const auto mappings, Mappings(elf, false));
  EXPECT_EQ(mappings.size(), 1u);
}

TEST(ElfMappingsTest, SharedPageIsRefused) {
  ElfBuilder elf;
  elf.AddLoad(
      {.gpa = Gpa(0x1000), .contents = Bytes(0x10), .flags = PF_R | PF_X});
  elf.AddLoad(
      {.gpa = Gpa(0x1800), .contents = Bytes(0x10), .flags = PF_R | PF_W});
  EXPECT_THAT(Mappings(elf, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ELF segments share the page at gva 0x1000")));
}

TEST(ElfMappingsTest, DifferenceWithinAPageIsRefused) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x1010),
               .gva = Gva(0x400000),
               .contents = Bytes(1),
               .flags = PF_R | PF_X});
  EXPECT_THAT(Mappings(elf, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("addresses differ within a page")));
}

TEST(ElfMappingsTest, LastPageOfTheSpaceIsRefused) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x1000),
               .gva = Gva(0xffff'ffff'ffff'f000),
               .contents = Bytes(1),
               .flags = PF_R | PF_X});
  EXPECT_THAT(Mappings(elf, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("last page of the address space")));
}

}  // namespace
}  // namespace libvmm
