// SPDX-License-Identifier: Apache-2.0
// Accesses on several threads while another changes the map. Run under
// ThreadSanitizer, it also shows that what a reader sees was published to it.
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

constexpr int kReaders = 3;
constexpr uint64_t kSlots = 9;

// Every word of a region holds the number of its slot plus one, so that a
// reader knows a wrong answer when it sees one.
TEST(GuestMemoryConcurrencyTest, ReadersSeeARegionOrNoneWhileTheMapChanges) {
  const uint64_t page = PageSize();
  const auto memory = GuestMemory::Create();
  std::vector<MemoryRegion> regions;
  for (uint64_t slot = 0; slot < kSlots; ++slot) {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = page}));
    ASSERT_OK(memory->Add(Gpa(slot * page), region));
    for (uint64_t offset = 0; offset < page; offset += 8) {
      ASSERT_TRUE(memory->Store<uint64_t>(Gpa(slot * page + offset), slot + 1));
    }
    regions.push_back(std::move(region));
  }

  std::atomic<bool> stop = false;
  std::atomic<uint64_t> wrong = 0;
  std::atomic<uint64_t> hits = 0;
  std::vector<std::thread> readers;
  for (uint64_t id = 0; id < kReaders; ++id) {
    readers.emplace_back([&, id] {
      std::mt19937_64 random(id);
      uint64_t found = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const uint64_t slot = random() % kSlots;
        const Gpa gpa(slot * page + random() % (page / 8) * 8);
        const std::optional<uint64_t> word = memory->Load<uint64_t>(gpa);
        if (word.has_value()) ++found;
        if (word.value_or(slot + 1) != slot + 1) wrong.fetch_add(1);
        // Across the boundary: both or nothing.
        std::array<uint64_t, 2> pair{};
        const Gpa end((slot + 1) * page - 8);
        if (memory->Read(end, std::as_writable_bytes(std::span(pair)))) {
          if (pair[0] != slot + 1 || pair[1] != slot + 2) wrong.fetch_add(1);
        } else if (pair[0] != 0 || pair[1] != 0) {
          wrong.fetch_add(1);
        }
      }
      hits.fetch_add(found);
    });
  }

  std::mt19937_64 random(99);
  std::vector<bool> present(kSlots, true);
  for (int change = 0; change < 3000; ++change) {
    const uint64_t slot = random() % kSlots;
    const Gpa gpa(slot * page);
    if (present[slot]) {
      ASSERT_OK(memory->Remove(gpa));
    } else {
      ASSERT_OK(memory->Add(gpa, regions[slot]));
    }
    present[slot] = !present[slot];
    if (change % 64 == 0) memory->TrackAllDirty();
    if (change % 64 == 32) memory->StopTrackingAllDirty();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  memory->Reclaim();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(hits.load(), 0u);
}

// Regions that only the map holds: a reader that was overtaken by Remove
// touches memory that is still there.
TEST(GuestMemoryConcurrencyTest, OvertakenAccessesTouchLiveMemory) {
  const uint64_t page = PageSize();
  const auto memory = GuestMemory::Create();
  std::atomic<bool> stop = false;
  std::vector<std::thread> users;
  for (int id = 0; id < kReaders; ++id) {
    users.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        static_cast<void>(memory->Store<uint32_t>(Gpa(64), 1));
        static_cast<void>(memory->FetchOr<uint32_t>(Gpa(page + 4), 2));
        for (uint64_t i = 0; i < 16; ++i) {
          static_cast<void>(memory->Load<uint32_t>(Gpa(i * 64)));
        }
      }
    });
  }
  for (int change = 0; change < 500; ++change) {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = 2 * page}));
    ASSERT_OK(memory->Add(Gpa(0), std::move(region)));
    ASSERT_OK(memory->TrackDirty(Gpa(0)));
    ASSERT_OK(memory->Remove(Gpa(0)));
  }
  stop = true;
  for (std::thread& user : users) user.join();
}

// What a thread stores before it publishes an index with release order, another
// sees after it loaded the index with acquire order.
TEST(GuestMemoryConcurrencyTest, ReleaseStorePublishesWhatWasWrittenBefore) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = PageSize()}));
  ASSERT_OK(memory->Add(Gpa(0), region));
  constexpr uint16_t kCount = 20'000;
  std::thread producer([&] {
    for (uint16_t i = 1; i <= kCount; ++i) {
      while (memory->Load<uint16_t>(Gpa(64), std::memory_order_acquire) !=
             i - 1) {
        std::this_thread::yield();
      }
      const uint64_t entry[2] = {i, ~uint64_t{i}};
      EXPECT_TRUE(memory->Write(Gpa(128), std::as_bytes(std::span(entry))));
      EXPECT_TRUE(
          memory->Store<uint16_t>(Gpa(0), i, std::memory_order_release));
    }
  });
  uint64_t wrong = 0;
  for (uint16_t i = 1; i <= kCount; ++i) {
    while (memory->Load<uint16_t>(Gpa(0), std::memory_order_acquire) != i) {
      std::this_thread::yield();
    }
    uint64_t entry[2] = {};
    EXPECT_TRUE(
        memory->Read(Gpa(128), std::as_writable_bytes(std::span(entry))));
    if (entry[0] != i || entry[1] != ~uint64_t{i}) ++wrong;
    EXPECT_TRUE(memory->Store<uint16_t>(Gpa(64), i, std::memory_order_release));
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
}

// An aligned word is never seen half written, whichever call writes and reads
// it.
TEST(GuestMemoryConcurrencyTest, AlignedWordsAreNotTorn) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = PageSize()}));
  ASSERT_OK(memory->Add(Gpa(0), region));
  const Gpa gpa(8);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      const uint64_t word = (i & 1) != 0 ? ~uint64_t{0} : 0;
      if ((i & 2) != 0) {
        static_cast<void>(memory->Store<uint64_t>(gpa, word));
      } else {
        static_cast<void>(
            memory->Write(gpa, std::as_bytes(std::span(&word, 1))));
      }
    }
  });
  uint64_t torn = 0;
  for (int i = 0; i < 200'000; ++i) {
    uint64_t word = 0;
    static_cast<void>(
        memory->Read(gpa, std::as_writable_bytes(std::span(&word, 1))));
    if (word != 0 && word != ~uint64_t{0}) ++torn;
    word = memory->Load<uint64_t>(gpa).value_or(1);
    if (word != 0 && word != ~uint64_t{0}) ++torn;
  }
  stop = true;
  writer.join();
  EXPECT_EQ(torn, 0u);
}

TEST(GuestMemoryConcurrencyTest, ReadModifyWriteLosesNothing) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = PageSize()}));
  ASSERT_OK(memory->Add(Gpa(0), region));
  constexpr uint32_t kRounds = 20'000;
  std::vector<std::thread> threads;
  for (int id = 0; id < kReaders; ++id) {
    threads.emplace_back([&] {
      for (uint32_t i = 0; i < kRounds; ++i) {
        uint32_t seen = *memory->Load<uint32_t>(Gpa(0));
        while (true) {
          const uint32_t before = *memory->CompareExchange<uint32_t>(
              Gpa(0), {.expected = seen, .desired = seen + 1});
          if (before == seen) break;
          seen = before;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory->Load<uint32_t>(Gpa(0)), kReaders * kRounds);
}

}  // namespace
}  // namespace libvmm
