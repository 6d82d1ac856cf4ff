// SPDX-License-Identifier: Apache-2.0
// What checked access to guest memory costs, with 1 to 256 regions, at one
// address or at random ones. The twin of each row does the same with a host
// pointer that was looked up before: the difference is the check. Bulk copies
// stand against memcpy.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/twin.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::bench {
namespace {

constexpr uint64_t kRegionSize = 64 << 10;
// Regions lie twice their size apart, as if each were a device's memory.
constexpr uint64_t kStride = 2 * kRegionSize;
constexpr size_t kAccesses = 1 << 12;
constexpr TwinBench::Options kWords{.batch = 1 << 16, .batches = 31};

// Keeps the compiler from dropping or merging what produced `value`.
template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// A map of `count` regions of one backing.
struct Guest {
  explicit Guest(size_t count, uint64_t region_size = kRegionSize,
                 uint64_t stride = kStride) {
    auto backing = MemoryRegion::Anonymous(
        {.size = count * region_size, .prefault = true});
    LIBVMM_CHECK(backing.ok());
    pool = *std::move(backing);
    for (size_t i = 0; i < count; ++i) {
      auto region =
          pool.Slice({.offset = i * region_size, .size = region_size});
      LIBVMM_CHECK(region.ok());
      LIBVMM_CHECK(memory->Add(Gpa(i * stride), *region).ok());
    }
    memory->Reclaim();
  }

  MemoryRegion pool;
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
};

struct Access {
  Gpa gpa;
  std::byte* hva;
};

// Aligned to 16, the same line of each region, so that the data stays in the
// cache and the lookup shows.
std::vector<Access> Accesses(const Guest& guest, size_t count, bool same) {
  std::mt19937_64 random(1);
  std::vector<Access> accesses(kAccesses);
  for (Access& access : accesses) {
    const size_t region = same ? count / 2 : random() % count;
    const uint64_t offset = 1024 + (region % 32) * 64;
    access = {Gpa(region * kStride + offset),
              guest.pool.data() + region * kRegionSize + offset};
  }
  return accesses;
}

void MeasureWords(TwinBench& bench, size_t count) {
  const Guest guest(count);
  GuestMemory& memory = *guest.memory;
  for (const bool same : {true, false}) {
    if (!same && count == 1) continue;
    const std::vector<Access> accesses = Accesses(guest, count, same);
    const std::string suffix =
        absl::StrCat("/", count, same ? "/same" : "/random");
    size_t ours = 0;
    size_t raw = 0;
    const auto next = [&accesses](size_t& index) -> const Access& {
      return accesses[index++ % kAccesses];
    };
    bench.Run(
        absl::StrCat("memory/load_u32", suffix), kWords,
        [&] { Keep(memory.Load<uint32_t>(next(ours).gpa).value_or(0)); },
        [&] {
          Keep(__atomic_load_n(reinterpret_cast<uint32_t*>(next(raw).hva),
                               __ATOMIC_RELAXED));
        });
    bench.Run(
        absl::StrCat("memory/store_u32", suffix), kWords,
        [&] { Keep(memory.Store<uint32_t>(next(ours).gpa, 7)); },
        [&] {
          __atomic_store_n(reinterpret_cast<uint32_t*>(next(raw).hva), 7u,
                           __ATOMIC_RELAXED);
        });
    // As large as a virtqueue descriptor.
    std::array<std::byte, 16> buffer{};
    bench.Run(
        absl::StrCat("memory/read_16", suffix), kWords,
        [&] {
          Keep(memory.Read(next(ours).gpa, buffer));
          Keep(buffer);
        },
        [&] {
          std::memcpy(buffer.data(), next(raw).hva, buffer.size());
          Keep(buffer);
        });
    bench.Run(
        absl::StrCat("memory/write_16", suffix), kWords,
        [&] { Keep(memory.Write(next(ours).gpa, buffer)); },
        [&] {
          std::memcpy(next(raw).hva, buffer.data(), buffer.size());
          Keep(buffer);
        });
  }
}

// A load whose address depends on the load before: latency, not throughput.
void MeasureChain(TwinBench& bench, size_t count) {
  const Guest guest(count);
  const GuestMemory& memory = *guest.memory;
  const std::vector<Access> accesses = Accesses(guest, count, /*same=*/false);
  // Memory is zero, but the compiler does not know: each address has the value
  // before added to it.
  bench.Run(
      absl::StrCat("memory/load_u32/", count, "/chained"), kWords,
      [&memory, &accesses, i = size_t{0}, sum = uint32_t{0}]() mutable {
        sum += memory.Load<uint32_t>(accesses[i++ % kAccesses].gpa + sum)
                   .value_or(0);
      },
      [&accesses, i = size_t{0}, sum = uint32_t{0}]() mutable {
        sum += __atomic_load_n(
            reinterpret_cast<uint32_t*>(accesses[i++ % kAccesses].hva + sum),
            __ATOMIC_RELAXED);
      });
}

void MeasureUnaligned(TwinBench& bench) {
  const Guest guest(2, kRegionSize, kRegionSize);
  const GuestMemory& memory = *guest.memory;
  for (const auto& [name, offset] :
       {std::pair<const char*, uint64_t>{"inside", 1025},
        std::pair<const char*, uint64_t>{"across_regions", kRegionSize - 2}}) {
    bench.RunAlone(
        absl::StrCat("memory/load_u32/unaligned/", name), kWords,
        [&, at = Gpa(offset)] { Keep(memory.Load<uint32_t>(at).value_or(0)); });
  }
}

void MeasureBulk(TwinBench& bench, uint64_t size, int batch) {
  const Guest guest(1, 4 << 20);
  GuestMemory& memory = *guest.memory;
  std::byte* const hva = guest.pool.data() + 4096;
  std::vector<std::byte> buffer(size, std::byte{1});
  const Gpa gpa(4096);
  const TwinBench::Options options{.batch = batch, .batches = 101};
  bench.Run(
      absl::StrCat("memory/read/", size), options,
      [&] { Keep(memory.Read(gpa, buffer)); },
      [&] {
        std::memcpy(buffer.data(), hva, size);
        Keep(buffer.data());
      });
  bench.Run(
      absl::StrCat("memory/write/", size), options,
      [&] { Keep(memory.Write(gpa, buffer)); },
      [&] {
        std::memcpy(hva, buffer.data(), size);
        Keep(buffer.data());
      });
}

void MeasureDirty(TwinBench& bench) {
  constexpr uint64_t kSize = uint64_t{256} << 20;
  constexpr uint64_t kMark = 2 << 20;
  DirtyBitmap bitmap({.size = kSize, .page_size = 4096});
  std::vector<uint64_t> words(bitmap.word_count());
  uint64_t offset = 0;
  // After a first pass over all of it, every page is marked already.
  bench.RunAlone("dirty/mark_2MiB/already_dirty", {.batch = 1 << 12}, [&] {
    bitmap.MarkBytes(offset % kSize, kMark);
    offset += kMark;
  });
  bench.RunAlone("dirty/mark_4KiB/already_dirty", kWords, [&] {
    bitmap.MarkBytes(offset % kSize, 4096);
    offset += 4096;
  });
  // Clears before each round of marks, outside the time.
  const auto clean = [&bench, &bitmap](const char* name, uint64_t start,
                                       uint64_t size, uint64_t step) {
    bench.RunAlone(name, {.batch = 100, .batches = 101},
                   [&, start, size, step] {
                     constexpr int kMarks = 64;
                     bitmap.Clear();
                     const auto begin = std::chrono::steady_clock::now();
                     for (uint64_t i = 0; i < kMarks; ++i) {
                       bitmap.MarkBytes(start + i * step, size);
                     }
                     const std::chrono::duration<double, std::nano> time =
                         std::chrono::steady_clock::now() - begin;
                     return time.count() / kMarks;
                   });
  };
  clean("dirty/mark_2MiB/clean", 0, kMark, kMark);
  clean("dirty/mark_2MiB/clean_unaligned", 4096 * 5, kMark, 2 * kMark);
  clean("dirty/mark_4KiB/clean", 0, 4096, 4096);
  bench.RunAlone("dirty/collect_256MiB/none_dirty", {.batch = 100},
                 [&] { bitmap.Collect(words); });

  const Guest guest(1);
  GuestMemory& memory = *guest.memory;
  LIBVMM_CHECK(memory.TrackDirty(Gpa(0)).ok());
  bench.RunAlone("dirty/store_u32/tracked", kWords,
                 [&] { Keep(memory.Store<uint32_t>(Gpa(1024), 7)); });
}

void MeasureChange(TwinBench& bench, size_t count) {
  const Guest guest(count);
  GuestMemory& memory = *guest.memory;
  auto region = guest.pool.Slice({.offset = 0, .size = kRegionSize});
  LIBVMM_CHECK(region.ok());
  bench.RunAlone(absl::StrCat("memory/add_and_remove/", count),
                 {.batch = 10, .batches = 51}, [&] {
                   const Gpa gpa(uint64_t{1} << 40);
                   LIBVMM_CHECK(memory.Add(gpa, *region).ok());
                   LIBVMM_CHECK(memory.Remove(gpa).ok());
                   memory.Reclaim();
                 });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  libvmm::bench::TwinBench bench(argc, argv);
  for (const size_t count : {1, 2, 3, 8, 64, 256}) {
    libvmm::bench::MeasureWords(bench, count);
    libvmm::bench::MeasureChain(bench, count);
  }
  libvmm::bench::MeasureUnaligned(bench);
  libvmm::bench::MeasureBulk(bench, 64, 1 << 14);
  libvmm::bench::MeasureBulk(bench, 4096, 1 << 12);
  libvmm::bench::MeasureBulk(bench, 1 << 20, 20);
  libvmm::bench::MeasureDirty(bench);
  for (const size_t count : {1, 64, 256}) {
    libvmm::bench::MeasureChange(bench, count);
  }
  return bench.Finish();
}
