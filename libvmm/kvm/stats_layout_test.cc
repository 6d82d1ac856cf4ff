// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/stats_layout.h"

#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<StatsLayout>);

constexpr uint32_t kNameSize = 16;
constexpr size_t kStride = sizeof(kvm_stats_desc) + kNameSize;

// kvm_stats_desc without its flexible name.
struct Descriptor {
  uint32_t flags = 0;
  int16_t exponent = 0;
  uint16_t size = 0;
  uint32_t offset = 0;
  uint32_t bucket_size = 0;
};
static_assert(sizeof(Descriptor) == sizeof(kvm_stats_desc));

// A statistics file with an id and three descriptors, to be damaged by tests.
struct File {
  kvm_stats_header header = {.flags = 0,
                             .name_size = kNameSize,
                             .num_desc = 3,
                             .id_offset = 24,
                             .desc_offset = 24 + kNameSize,
                             .data_offset = 24 + kNameSize + 3 * kStride};
  std::string id = "kvm-1";
  struct Row {
    Descriptor desc;
    std::string name;
  };
  std::vector<Row> rows;

  File() {
    rows.resize(3);
    rows[0].name = "exits";
    rows[0].desc.size = 1;
    rows[1].name = "wait_ns";
    rows[1].desc.flags =
        KVM_STATS_TYPE_PEAK | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10;
    rows[1].desc.exponent = -9;
    rows[1].desc.size = 1;
    rows[1].desc.offset = 8;
    rows[2].name = "wait_hist";
    rows[2].desc.flags =
        KVM_STATS_TYPE_LINEAR_HIST | KVM_STATS_UNIT_BYTES | KVM_STATS_BASE_POW2;
    rows[2].desc.exponent = 20;
    rows[2].desc.size = 4;
    rows[2].desc.offset = 24;
    rows[2].desc.bucket_size = 100;
  }

  std::vector<std::byte> Bytes() const {
    std::vector<std::byte> bytes(24 + kNameSize + 3 * kStride);
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(&bytes[24], id.data(), std::min<size_t>(id.size(), kNameSize));
    for (size_t i = 0; i < rows.size(); ++i) {
      std::byte* const place = &bytes[24 + kNameSize + i * kStride];
      std::memcpy(place, &rows[i].desc, sizeof(kvm_stats_desc));
      std::memcpy(place + sizeof(kvm_stats_desc), rows[i].name.data(),
                  std::min<size_t>(rows[i].name.size(), kNameSize));
    }
    return bytes;
  }
};

TEST(StatsLayoutTest, DescribesEveryStatistic) {
  ASSERT_OK_AND_ASSIGN(const StatsLayout layout,
                       StatsLayout::Parse(File().Bytes()));
  EXPECT_EQ(layout.id(), "kvm-1");
  ASSERT_EQ(layout.descriptors().size(), 3u);
  EXPECT_EQ(layout.value_count(), 7u);

  const StatDescriptor& exits = layout.descriptors()[0];
  EXPECT_EQ(exits.name, "exits");
  EXPECT_EQ(exits.type, StatType::kCumulative);
  EXPECT_EQ(exits.unit, StatUnit::kNone);
  EXPECT_EQ(exits.base, 10u);
  EXPECT_EQ(exits.first, 0u);
  EXPECT_EQ(exits.count, 1u);

  const StatDescriptor* const wait = layout.Find("wait_ns");
  ASSERT_NE(wait, nullptr);
  EXPECT_EQ(wait->type, StatType::kPeak);
  EXPECT_EQ(wait->unit, StatUnit::kSeconds);
  EXPECT_EQ(wait->exponent, -9);
  EXPECT_EQ(wait->first, 1u);

  const StatDescriptor* const histogram = layout.Find("wait_hist");
  ASSERT_NE(histogram, nullptr);
  EXPECT_EQ(histogram->type, StatType::kLinearHistogram);
  EXPECT_EQ(histogram->unit, StatUnit::kBytes);
  EXPECT_EQ(histogram->base, 2u);
  EXPECT_EQ(histogram->exponent, 20);
  EXPECT_EQ(histogram->first, 3u);
  EXPECT_EQ(histogram->count, 4u);
  EXPECT_EQ(histogram->bucket_size, 100u);

  EXPECT_EQ(layout.Find("no such"), nullptr);
}

TEST(StatsLayoutTest, NamesOutliveAMoveOfTheLayout) {
  ASSERT_OK_AND_ASSIGN(StatsLayout layout, StatsLayout::Parse(File().Bytes()));
  const StatsLayout moved = std::move(layout);
  EXPECT_EQ(moved.id(), "kvm-1");
  EXPECT_EQ(moved.descriptors()[2].name, "wait_hist");
}

TEST(StatsLayoutTest, UnknownTypesAndUnitsPassThrough) {
  File file;
  file.rows[0].desc.flags = 0xff;
  ASSERT_OK_AND_ASSIGN(const StatsLayout layout,
                       StatsLayout::Parse(file.Bytes()));
  EXPECT_EQ(static_cast<int>(layout.descriptors()[0].type), 15);
  EXPECT_EQ(static_cast<int>(layout.descriptors()[0].unit), 15);
}

TEST(StatsLayoutTest, NoStatisticsAreALayoutToo) {
  File file;
  file.header.num_desc = 0;
  ASSERT_OK_AND_ASSIGN(const StatsLayout layout,
                       StatsLayout::Parse(file.Bytes()));
  EXPECT_TRUE(layout.descriptors().empty());
  EXPECT_EQ(layout.value_count(), 0u);
}

TEST(StatsLayoutTest, ExtentCoversIdAndDescriptors) {
  const File file;
  ASSERT_OK_AND_ASSIGN(const StatsLayout::Extent extent,
                       StatsLayout::ParseHeader(file.Bytes()));
  EXPECT_EQ(extent.metadata_size, file.Bytes().size());
  EXPECT_EQ(extent.data_offset, file.header.data_offset);
}

TEST(StatsLayoutTest, DamagedFieldIsNamed) {
  const struct {
    const char* field;
    void (*damage)(File&);
  } rows[] = {
      {"name_size 0", [](File& f) { f.header.name_size = 0; }},
      {"name_size 4294967295", [](File& f) { f.header.name_size = ~0u; }},
      {"num_desc 65537", [](File& f) { f.header.num_desc = 65537; }},
      {"id_offset 23", [](File& f) { f.header.id_offset = 23; }},
      {"id_offset 4294967295", [](File& f) { f.header.id_offset = ~0u; }},
      {"desc_offset 0", [](File& f) { f.header.desc_offset = 0; }},
      {"desc_offset 4294967295", [](File& f) { f.header.desc_offset = ~0u; }},
      {"data_offset 8", [](File& f) { f.header.data_offset = 8; }},
      {"136 bytes of metadata, not 168",
       [](File& f) { f.header.num_desc = 4; }},
      {"the id string has no end",
       [](File& f) { f.id = std::string(16, 'x'); }},
      {"kvm_stats_desc[1].size is 0", [](File& f) { f.rows[1].desc.size = 0; }},
      {"kvm_stats_desc[2].offset 12 is not",
       [](File& f) { f.rows[2].desc.offset = 12; }},
      {"kvm_stats_desc[2].offset 4294967288 with 4 values",
       [](File& f) { f.rows[2].desc.offset = 0xfffffff8; }},
      {"kvm_stats_desc[0].name has no end",
       [](File& f) { f.rows[0].name = std::string(16, 'y'); }},
      {"kvm_stats_desc[0].name is empty",
       [](File& f) { f.rows[0].name.clear(); }},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.field);
    File file;
    row.damage(file);
    // The length of the bytes stays that of the undamaged file.
    std::vector<std::byte> bytes = file.Bytes();
    ASSERT_EQ(bytes.size(), File().Bytes().size());
    EXPECT_THAT(StatsLayout::Parse(bytes),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(row.field)));
  }
}

TEST(StatsLayoutTest, EveryShorterFileIsRefused) {
  const std::vector<std::byte> bytes = File().Bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(StatsLayout::Parse(std::span(bytes).first(size)),
                StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
}

}  // namespace
}  // namespace libvmm
