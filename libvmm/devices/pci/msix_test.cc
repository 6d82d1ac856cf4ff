// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/msix.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/pci/msix_registers.h"
#include "libvmm/devices/pci/msix_state.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Msix::Control kOn{.enabled = true};
constexpr Msix::Control kOff{};
constexpr Msix::Control kMaskedOn{.enabled = true, .function_masked = true};
constexpr Msi kMessage{.address = 0x1'fee0'1000, .data = 0x4031};

struct Told {
  uint16_t vector;
  std::optional<Msi> route;
  friend bool operator==(const Told&, const Told&) = default;
};

// A function's vectors, and what came of them.
class Bench {
 public:
  explicit Bench(uint16_t vectors = 3)
      : msix(*Msix::Create(
            {.vectors = vectors,
             .deliver = [this](const Msi& message) { sent.push_back(message); },
             .route_changed =
                 [this](uint16_t vector, const std::optional<Msi>& route) {
                   told.push_back({vector, route});
                 }})) {}

  void Write32(uint64_t offset, uint32_t value) {
    EXPECT_EQ(msix->table().Write(offset, std::as_bytes(std::span(&value, 1))),
              IoResult::kDone);
  }
  void Write64(uint64_t offset, uint64_t value) {
    EXPECT_EQ(msix->table().Write(offset, std::as_bytes(std::span(&value, 1))),
              IoResult::kDone);
  }
  uint32_t Read32(uint64_t offset) {
    uint32_t value = 0x5a5a5a5a;
    EXPECT_EQ(msix->table().Read(offset,
                                 std::as_writable_bytes(std::span(&value, 1))),
              IoResult::kDone);
    return value;
  }
  uint64_t Pending(uint64_t offset = 0) {
    uint64_t value = 0x5a5a5a5a;
    EXPECT_EQ(
        msix->pba().Read(offset, std::as_writable_bytes(std::span(&value, 1))),
        IoResult::kDone);
    return value;
  }
  // What a driver does to an entry.
  void Program(uint64_t vector, const Msi& message) {
    Write32(16 * vector, static_cast<uint32_t>(message.address));
    Write32(16 * vector + 4, static_cast<uint32_t>(message.address >> 32));
    Write32(16 * vector + 8, message.data);
  }
  void Mask(uint64_t vector, bool masked) {
    Write32(16 * vector + 12, masked ? 1 : 0);
  }

  std::vector<Msi> sent;
  std::vector<Told> told;
  std::unique_ptr<Msix> msix;
};

TEST(MsixTest, EntriesAfterReset) {
  Bench bench;
  for (uint64_t vector = 0; vector < 3; ++vector) {
    EXPECT_EQ(bench.Read32(16 * vector), 0u);
    EXPECT_EQ(bench.Read32(16 * vector + 4), 0u);
    EXPECT_EQ(bench.Read32(16 * vector + 8), 0u);
    EXPECT_EQ(bench.Read32(16 * vector + 12), 1u);
  }
  EXPECT_EQ(bench.Pending(), 0u);
  EXPECT_THAT(bench.told, IsEmpty());
}

TEST(MsixTest, WritableBits) {
  Bench bench;
  for (uint64_t offset = 0; offset < 48; offset += 4) {
    bench.Write32(offset, 0xffffffff);
  }
  for (uint64_t offset = 0; offset < 48; offset += 16) {
    EXPECT_EQ(bench.Read32(offset), 0xfffffffcu);
    EXPECT_EQ(bench.Read32(offset + 4), 0xffffffffu);
    EXPECT_EQ(bench.Read32(offset + 8), 0xffffffffu);
    EXPECT_EQ(bench.Read32(offset + 12), 1u);
  }
}

TEST(MsixTest, SizesFollowTheVectors) {
  const struct {
    uint16_t vectors;
    uint64_t table;
    uint64_t pba;
  } kTable[] = {{1, 16, 8}, {64, 1024, 8}, {65, 1040, 16}, {2048, 32768, 256}};
  for (const auto& row : kTable) {
    Bench bench(row.vectors);
    EXPECT_EQ(bench.msix->vectors(), row.vectors);
    EXPECT_EQ(bench.msix->table_size(), row.table);
    EXPECT_EQ(bench.msix->pba_size(), row.pba);
  }
}

TEST(MsixTest, VectorCountsThatCannotBe) {
  EXPECT_THAT(
      Msix::Create({.vectors = 0}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("vectors is 0")));
  EXPECT_THAT(Msix::Create({.vectors = 2049}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vectors is 2049")));
}

TEST(MsixTest, UnmaskedVectorIsDeliveredAtOnce) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Program(1, kMessage);
  bench.Mask(1, false);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kDelivered);
  EXPECT_THAT(bench.sent, ElementsAre(kMessage));
  EXPECT_EQ(bench.Pending(), 0u);
}

TEST(MsixTest, DisabledFunctionDoesNothing) {
  Bench bench;
  bench.Program(1, kMessage);
  bench.Mask(1, false);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kDisabled);
  EXPECT_FALSE(bench.msix->enabled());
  EXPECT_THAT(bench.sent, IsEmpty());
  EXPECT_EQ(bench.Pending(), 0u);
}

TEST(MsixTest, MaskedVectorIsPendingUntilUnmasked) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Program(1, kMessage);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kPending);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kPending);
  EXPECT_EQ(bench.Pending(), 0b10u);
  EXPECT_THAT(bench.sent, IsEmpty());
  bench.Mask(1, false);
  EXPECT_THAT(bench.sent, ElementsAre(kMessage));
  EXPECT_EQ(bench.Pending(), 0u);
}

TEST(MsixTest, FunctionMaskHoldsEveryVectorBack) {
  Bench bench;
  bench.msix->SetControl(kMaskedOn);
  bench.Program(0, kMessage);
  bench.Program(2, {.address = 0xfee00000, .data = 7});
  bench.Mask(0, false);
  bench.Mask(2, false);
  EXPECT_EQ(bench.msix->Trigger(0), Msix::Outcome::kPending);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kPending);
  EXPECT_EQ(bench.msix->Trigger(2), Msix::Outcome::kPending);
  EXPECT_EQ(bench.Pending(), 0b111u);
  bench.msix->SetControl(kOn);
  EXPECT_THAT(bench.sent,
              ElementsAre(kMessage, Msi{.address = 0xfee00000, .data = 7}));
  EXPECT_EQ(bench.Pending(), 0b010u);
}

TEST(MsixTest, PendingOutlivesSwitchingOff) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Program(0, kMessage);
  EXPECT_EQ(bench.msix->Trigger(0), Msix::Outcome::kPending);
  bench.msix->SetControl(kOff);
  bench.Mask(0, false);
  EXPECT_THAT(bench.sent, IsEmpty());
  bench.msix->SetControl(kOn);
  EXPECT_THAT(bench.sent, ElementsAre(kMessage));
}

TEST(MsixTest, NoSuchVector) {
  Bench bench;
  bench.msix->SetControl(kOn);
  EXPECT_EQ(bench.msix->Trigger(3), Msix::Outcome::kNoVector);
  EXPECT_EQ(bench.msix->Trigger(0xffff), Msix::Outcome::kNoVector);
  EXPECT_EQ(bench.msix->Route(3), std::nullopt);
  EXPECT_EQ(bench.Pending(), 0u);
}

TEST(MsixTest, RoutesAreToldWhenTheyDiffer) {
  Bench bench;
  bench.Program(1, kMessage);
  bench.Mask(1, false);
  EXPECT_THAT(bench.told, IsEmpty());
  bench.msix->SetControl(kOn);
  bench.msix->SetControl(kOn);
  bench.Write32(16 + 8, kMessage.data);  // As it is.
  EXPECT_THAT(bench.told, ElementsAre(Told{1, kMessage}));
  EXPECT_EQ(bench.msix->Route(1), kMessage);
  bench.told.clear();

  bench.Write32(16 + 8, 9);
  const Msi other{.address = kMessage.address, .data = 9};
  bench.Mask(1, true);
  bench.Write32(16 + 8, 10);
  EXPECT_THAT(bench.told, ElementsAre(Told{1, other}, Told{1, std::nullopt}));
  EXPECT_EQ(bench.msix->Route(1), std::nullopt);
  bench.told.clear();

  bench.Mask(1, false);
  bench.msix->SetControl(kMaskedOn);
  bench.msix->SetControl(kOff);
  EXPECT_THAT(bench.told,
              ElementsAre(Told{1, Msi{.address = kMessage.address, .data = 10}},
                          Told{1, std::nullopt}));
}

TEST(MsixTest, RouteIsToldBeforeWhatWasPendingIsSent) {
  std::vector<int> order;
  auto msix = *Msix::Create(
      {.vectors = 1,
       .deliver = [&](const Msi&) { order.push_back(2); },
       .route_changed =
           [&](uint16_t, const std::optional<Msi>&) { order.push_back(1); }});
  msix->SetControl(kOn);
  EXPECT_EQ(msix->Trigger(0), Msix::Outcome::kPending);
  const uint32_t zero = 0;
  msix->table().Write(12, std::as_bytes(std::span(&zero, 1)));
  EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(MsixTest, CallbacksMayCallBack) {
  Msix* self = nullptr;
  std::vector<std::optional<Msi>> routes;
  std::vector<Msi> sent;
  auto msix = *Msix::Create(
      {.vectors = 2,
       .deliver =
           [&](const Msi& message) {
             sent.push_back(message);
             routes.push_back(self->Route(0));
           },
       .route_changed =
           [&](uint16_t vector, const std::optional<Msi>&) {
             routes.push_back(self->Route(vector));
             self->Trigger(vector);
             uint32_t value = 0;
             self->table().Read(0,
                                std::as_writable_bytes(std::span(&value, 1)));
             self->pba().Read(0, std::as_writable_bytes(std::span(&value, 1)));
           }});
  self = msix.get();
  msix->SetControl(kOn);
  const uint32_t zero = 0;
  msix->table().Write(12, std::as_bytes(std::span(&zero, 1)));
  EXPECT_THAT(sent, ElementsAre(Msi{}));
  EXPECT_THAT(routes, ElementsAre(Msi{}, Msi{}));
}

TEST(MsixTest, EightBytesAreWrittenAtOnce) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Mask(0, false);
  bench.told.clear();
  bench.Write64(0, kMessage.address | 3);
  EXPECT_THAT(bench.told,
              ElementsAre(Told{0, Msi{.address = kMessage.address}}));
  bench.Write64(8, uint64_t{1} << 32 | 0x1234);
  EXPECT_EQ(bench.Read32(8), 0x1234u);
  EXPECT_EQ(bench.Read32(12), 1u);
}

TEST(MsixTest, OtherWritesAreDropped) {
  Bench bench;
  const MsixState before = bench.msix->Save();
  std::vector<std::byte> ones(64, std::byte{0xff});
  for (uint64_t offset = 0; offset < 56; ++offset) {
    for (size_t size = 0; size < ones.size(); ++size) {
      if ((size == 4 || size == 8) && offset % size == 0) continue;
      bench.msix->table().Write(offset, std::span(ones).first(size));
    }
  }
  // And behind the end.
  bench.Write32(48, 0xffffffff);
  bench.Write64(uint64_t{1} << 63, 0xffffffff);
  bench.msix->pba().Write(0, std::span(ones).first(8));
  EXPECT_EQ(bench.msix->Save(), before);
}

TEST(MsixTest, ReadsOfAnySizeGiveTheBytes) {
  Bench bench;
  bench.Program(0, {.address = 0x8877665544332210, .data = 0xccbbaa99});
  std::vector<uint8_t> bytes(7);
  bench.msix->table().Read(3, std::as_writable_bytes(std::span(bytes)));
  EXPECT_THAT(bytes, ElementsAre(0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa));
  bench.msix->table().Read(45, std::as_writable_bytes(std::span(bytes)));
  EXPECT_THAT(bytes, ElementsAre(0, 0, 0, 0xff, 0xff, 0xff, 0xff));
  bench.msix->table().Read(~uint64_t{0},
                           std::as_writable_bytes(std::span(bytes).first(1)));
  EXPECT_EQ(bytes[0], 0xff);
}

TEST(MsixTest, PendingBitsOfManyVectors) {
  Bench bench(70);
  bench.msix->SetControl(kOn);
  for (const uint16_t vector : {0, 63, 64, 69}) {
    EXPECT_EQ(bench.msix->Trigger(vector), Msix::Outcome::kPending);
  }
  EXPECT_EQ(bench.Pending(0), uint64_t{1} << 63 | 1);
  EXPECT_EQ(bench.Pending(8), 0b100001u);
  std::vector<uint8_t> bytes(4);
  bench.msix->pba().Read(7, std::as_writable_bytes(std::span(bytes)));
  EXPECT_THAT(bytes, ElementsAre(0x80, 0x21, 0, 0));
  bench.msix->pba().Read(15, std::as_writable_bytes(std::span(bytes)));
  EXPECT_THAT(bytes, ElementsAre(0, 0xff, 0xff, 0xff));
}

TEST(MsixTest, ResetMasksAndForgets) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Program(0, kMessage);
  bench.Mask(0, false);
  EXPECT_EQ(bench.msix->Trigger(1), Msix::Outcome::kPending);
  bench.told.clear();
  bench.msix->Reset();
  EXPECT_THAT(bench.told, ElementsAre(Told{0, std::nullopt}));
  EXPECT_EQ(bench.Pending(), 0u);
  EXPECT_EQ(bench.Read32(0), 0u);
  EXPECT_EQ(bench.Read32(12), 1u);
  EXPECT_FALSE(bench.msix->enabled());
}

TEST(MsixTest, RestoreContinues) {
  Bench bench;
  bench.msix->SetControl(kOn);
  bench.Program(0, kMessage);
  bench.Mask(0, false);
  EXPECT_EQ(bench.msix->Trigger(2), Msix::Outcome::kPending);
  const MsixState state = bench.msix->Save();

  Bench other;
  ASSERT_OK(other.msix->Restore(state));
  EXPECT_EQ(other.msix->Save(), state);
  EXPECT_THAT(other.told, ElementsAre(Told{0, kMessage}));
  EXPECT_THAT(other.sent, IsEmpty());
  other.Mask(2, false);
  EXPECT_THAT(other.sent, ElementsAre(Msi{}));
}

TEST(MsixTest, RestoredPendingVectorWithoutMaskIsSent) {
  MsixState state{.enabled = true};
  state.vectors.resize(3);
  state.vectors[1] = {.message = kMessage, .masked = false, .pending = true};
  Bench bench;
  ASSERT_OK(bench.msix->Restore(state));
  EXPECT_THAT(bench.sent, ElementsAre(kMessage));
  EXPECT_EQ(bench.Pending(), 0u);
}

TEST(MsixTest, BadStatesAreRefusedAndChangeNothing) {
  Bench bench;
  bench.Program(0, kMessage);
  const MsixState good = bench.msix->Save();
  MsixState state = good;
  state.vectors.pop_back();
  EXPECT_THAT(bench.msix->Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vectors has 2 elements")));
  state = good;
  state.vectors[1].message.address = 0x1'0000'0002;
  EXPECT_THAT(bench.msix->Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vectors[1].message.address is 0x100000002")));
  state = {};
  EXPECT_THAT(bench.msix->Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("vectors has 0 elements")));
  EXPECT_EQ(bench.msix->Save(), good);
}

TEST(MsixTest, NullCallbacks) {
  auto msix = *Msix::Create({.vectors = 1});
  msix->SetControl(kOn);
  EXPECT_EQ(msix->Trigger(0), Msix::Outcome::kPending);
  const uint32_t zero = 0;
  msix->table().Write(12, std::as_bytes(std::span(&zero, 1)));
  EXPECT_EQ(msix->Trigger(0), Msix::Outcome::kDelivered);
}

// Whatever the order of triggers and mask changes, an interrupt is neither lost
// nor made up: after the last unmask nothing is pending, and each delivery had
// a trigger.
TEST(MsixTest, NoInterruptIsLostBetweenThreads) {
  const int rounds = Repetitions(20000);
  std::atomic<int> sent{0};
  std::atomic<int> unmasked{0};
  auto msix =
      *Msix::Create({.vectors = 1,
                     .deliver = [&](const Msi&) { ++sent; },
                     .route_changed =
                         [&](uint16_t, const std::optional<Msi>& route) {
                           unmasked += route.has_value() ? 1 : -1;
                           EXPECT_EQ(unmasked, route.has_value() ? 1 : 0);
                         }});
  msix->SetControl(kOn);
  std::atomic<int> delivered{0};
  std::thread device([&] {
    for (int i = 0; i < rounds; ++i) {
      if (msix->Trigger(0) == Msix::Outcome::kDelivered) ++delivered;
    }
  });
  const auto toggle = [&] {
    for (int i = 0; i < rounds; ++i) {
      const uint32_t control = i % 2;
      msix->table().Write(12, std::as_bytes(std::span(&control, 1)));
    }
  };
  std::thread cpu(toggle);
  toggle();
  cpu.join();
  device.join();
  const uint32_t zero = 0;
  msix->table().Write(12, std::as_bytes(std::span(&zero, 1)));
  EXPECT_FALSE(msix->Save().vectors[0].pending);
  EXPECT_GE(sent, delivered);
  EXPECT_LE(sent, rounds);
  EXPECT_EQ(unmasked, 1);
}

}  // namespace
}  // namespace libvmm
