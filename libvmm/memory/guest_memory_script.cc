// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/guest_memory_script.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/base/mapping.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {
namespace {

const uint64_t kPage = PageSize();
constexpr uint64_t kPoolPages = 16;
// Scripts work at both ends of the address space, this many pages each.
constexpr uint64_t kWindowPages = 24;

// Decodes the script; zeroes after its end.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool done() const { return bytes_.empty(); }

  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  uint64_t Below(uint64_t limit) { return Byte() % limit; }
  uint64_t Word() {
    uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8 | Byte();
    return word;
  }

  Gpa PageStart() {
    const uint64_t page = Below(2 * kWindowPages);
    return page < kWindowPages ? Gpa(page * kPage)
                               : Gpa(0) - (page - kWindowPages + 1) * kPage;
  }
  // Mostly close to a page boundary, where regions begin and end.
  Gpa Address() {
    const Gpa page = PageStart();
    const uint8_t near = Byte();
    return near < 128 ? page + near % 32 : page - near % 32;
  }
  uint64_t Size() {
    const uint8_t kind = Byte();
    if (kind < 128) return kind % 33;
    if (kind < 250) return Below(3) * kPage + kind % 16;
    return Word();
  }
  // Small enough for a buffer.
  uint64_t BufferSize() { return std::min(Size(), 5 * kPage); }

 private:
  std::span<const uint8_t> bytes_;
};

// GuestMemory as its contract describes it, one byte at a time.
class Model {
 public:
  struct Placed {
    uint64_t gpa = 0;
    uint64_t size = 0;
    uint64_t pool_offset = 0;
    bool read_only = false;
    bool tracked = false;
    std::set<uint64_t> dirty;
  };

  Model() : pool(kPoolPages * kPage) {}

  Placed* At(uint64_t gpa) {
    for (Placed& each : placed) {
      if (gpa - each.gpa < each.size) return &each;
    }
    return nullptr;
  }
  Placed* StartingAt(uint64_t gpa) {
    for (Placed& each : placed) {
      if (gpa == each.gpa) return &each;
    }
    return nullptr;
  }

  // Where byte gpa + i is in the pool, or nothing.
  std::optional<uint64_t> Find(Gpa gpa, uint64_t i, bool write) {
    if (i > ~gpa.value()) return std::nullopt;
    const Placed* const each = At(gpa.value() + i);
    if (each == nullptr || (write && each->read_only)) return std::nullopt;
    return each->pool_offset + (gpa.value() + i - each->gpa);
  }
  bool Covers(Gpa gpa, uint64_t size, bool write) {
    if (size > 2 * kWindowPages * kPage) return false;
    for (uint64_t i = 0; i < size; ++i) {
      if (!Find(gpa, i, write).has_value()) return false;
    }
    return true;
  }
  bool Read(Gpa gpa, std::span<std::byte> to) {
    if (!Covers(gpa, to.size(), false)) return false;
    for (size_t i = 0; i < to.size(); ++i) to[i] = pool[*Find(gpa, i, false)];
    return true;
  }
  bool Write(Gpa gpa, std::span<const std::byte> from) {
    if (!Covers(gpa, from.size(), true)) return false;
    for (size_t i = 0; i < from.size(); ++i) {
      pool[*Find(gpa, i, true)] = from[i];
      MarkByte(gpa.value() + i);
    }
    return true;
  }
  void MarkByte(uint64_t gpa) {
    Placed* const each = At(gpa);
    if (each == nullptr || !each->tracked) return;
    each->dirty.insert((gpa - each->gpa) / kPage);
  }

  std::vector<std::byte> pool;
  std::vector<Placed> placed;
  bool track_all = false;
};

class Script {
 public:
  explicit Script(std::span<const uint8_t> bytes)
      : reader_(bytes), memory_(GuestMemory::Create()) {
    absl::StatusOr<MemoryRegion> pool =
        MemoryRegion::Anonymous({.size = kPoolPages * kPage});
    LIBVMM_CHECK(pool.ok());
    pool_ = *std::move(pool);
  }

  std::string Run() {
    while (!reader_.done() && difference_.empty()) {
      Step();
      Expect("memory",
             std::memcmp(pool_.data(), model_.pool.data(), pool_.size()) == 0);
    }
    if (difference_.empty()) Collect();
    return difference_;
  }

 private:
  void Expect(absl::string_view what, bool same) {
    if (!same && difference_.empty()) {
      difference_ = absl::StrCat("step ", step_, ": ", what, " differs");
    }
  }

  void Step() {
    ++step_;
    switch (reader_.Below(20)) {
      case 0:
      case 1:
      case 2:
        return Add();
      case 3:
        return Remove();
      case 4:
        return LoadSized();
      case 5:
        return StoreSized();
      case 6:
        return Modify();
      case 7:
      case 8:
        return Read();
      case 9:
      case 10:
        return Write();
      case 11:
        return Fill();
      case 12:
        return ReadString();
      case 13:
        return Covered();
      case 14:
        return Spans();
      case 15:
        return Track();
      case 16:
        return MarkDirty();
      case 17:
        return Collect();
      case 18:
        memory_->Reclaim();
        return;
      case 19:
        return Compare();
    }
  }

  void Add() {
    const Gpa gpa = reader_.PageStart();
    const uint64_t size = (1 + reader_.Below(4)) * kPage;
    const uint64_t offset =
        reader_.Below(kPoolPages - size / kPage + 1) * kPage;
    const bool read_only = reader_.Below(4) == 0;
    absl::StatusOr<MemoryRegion> region =
        pool_.Slice({.offset = offset, .size = size});
    LIBVMM_CHECK(region.ok());
    const absl::Status status =
        memory_->Add(gpa, read_only ? region->AsReadOnly() : *region);

    absl::StatusCode expected = absl::StatusCode::kOk;
    if (size - 1 > ~gpa.value()) {
      expected = absl::StatusCode::kInvalidArgument;
    } else {
      for (uint64_t page = 0; page < size; page += kPage) {
        if (model_.At(gpa.value() + page) != nullptr) {
          expected = absl::StatusCode::kAlreadyExists;
        }
      }
    }
    Expect("Add", status.code() == expected);
    if (expected == absl::StatusCode::kOk) {
      model_.placed.push_back({.gpa = gpa.value(),
                               .size = size,
                               .pool_offset = offset,
                               .read_only = read_only,
                               .tracked = model_.track_all,
                               .dirty = {}});
    }
  }

  void Remove() {
    const Gpa gpa = reader_.PageStart();
    const auto found = std::find_if(
        model_.placed.begin(), model_.placed.end(),
        [gpa](const Model::Placed& each) { return each.gpa == gpa.value(); });
    const bool present = found != model_.placed.end();
    Expect("Remove",
           memory_->Remove(gpa).code() ==
               (present ? absl::StatusCode::kOk : absl::StatusCode::kNotFound));
    if (present) model_.placed.erase(found);
  }

  template <typename T>
  void Load(Gpa gpa) {
    T expected = 0;
    const bool readable =
        model_.Read(gpa, std::as_writable_bytes(std::span(&expected, 1)));
    Expect("Load", memory_->Load<T>(gpa) ==
                       (readable ? std::optional(expected) : std::nullopt));
  }
  void LoadSized() {
    const uint64_t size = reader_.Below(4);
    const Gpa gpa = reader_.Address();
    switch (size) {
      case 0:
        return Load<uint8_t>(gpa);
      case 1:
        return Load<uint16_t>(gpa);
      case 2:
        return Load<int32_t>(gpa);
      case 3:
        return Load<uint64_t>(gpa);
    }
  }

  template <typename T>
  void Store(Gpa gpa, uint64_t word) {
    const T value = static_cast<T>(word);
    Expect("Store", memory_->Store<T>(gpa, value) ==
                        model_.Write(gpa, std::as_bytes(std::span(&value, 1))));
  }
  void StoreSized() {
    const uint64_t size = reader_.Below(4);
    const Gpa gpa = reader_.Address();
    const uint64_t value = reader_.Word();
    switch (size) {
      case 0:
        return Store<uint8_t>(gpa, value);
      case 1:
        return Store<uint16_t>(gpa, value);
      case 2:
        return Store<int32_t>(gpa, value);
      case 3:
        return Store<uint64_t>(gpa, value);
    }
  }

  // Read-modify-write of 4 or 8 bytes.
  template <typename T>
  void ModifyWord(Gpa gpa, uint64_t operation, uint64_t word) {
    const T value = static_cast<T>(word);
    T before = 0;
    const bool possible =
        gpa.IsAligned(sizeof(T)) && model_.Covers(gpa, sizeof(T), true) &&
        model_.Read(gpa, std::as_writable_bytes(std::span(&before, 1)));
    std::optional<T> result;
    T after = before;
    switch (operation) {
      case 0:
        result = memory_->Exchange<T>(gpa, value);
        after = value;
        break;
      case 1:
        result = memory_->FetchOr<T>(gpa, value);
        after = before | value;
        break;
      case 2:
        result = memory_->FetchAnd<T>(gpa, value);
        after = before & value;
        break;
      case 3: {
        // Equal to the present word in about half of the cases.
        const T expected = (word & 1) != 0 ? before : value;
        result = memory_->CompareExchange<T>(
            gpa, {.expected = expected, .desired = value});
        if (before != expected) {
          Expect("CompareExchange",
                 result == (possible ? std::optional(before) : std::nullopt));
          return;
        }
        after = value;
        break;
      }
    }
    Expect("read-modify-write",
           result == (possible ? std::optional(before) : std::nullopt));
    if (possible) model_.Write(gpa, std::as_bytes(std::span(&after, 1)));
  }
  void Modify() {
    const uint64_t operation = reader_.Below(4);
    const bool wide = reader_.Below(2) == 0;
    Gpa gpa = reader_.Address();
    if (reader_.Below(4) != 0) gpa = gpa.AlignDown(8);
    const uint64_t word = reader_.Word();
    if (wide) {
      ModifyWord<uint64_t>(gpa, operation, word);
    } else {
      ModifyWord<uint32_t>(gpa, operation, word);
    }
  }

  void Read() {
    const Gpa gpa = reader_.Address();
    std::vector<std::byte> ours(reader_.BufferSize(), std::byte{0xa5});
    std::vector<std::byte> expected = ours;
    Expect("Read", memory_->Read(gpa, ours) == model_.Read(gpa, expected));
    Expect("Read bytes", ours == expected);
  }

  void Write() {
    const Gpa gpa = reader_.Address();
    std::vector<std::byte> bytes(reader_.BufferSize());
    uint8_t value = reader_.Byte();
    for (std::byte& byte : bytes) byte = std::byte{value++};
    Expect("Write", memory_->Write(gpa, bytes) == model_.Write(gpa, bytes));
  }

  void Fill() {
    const Gpa gpa = reader_.Address();
    const uint64_t size = reader_.Size();
    const std::byte value{reader_.Byte()};
    bool expected = false;
    if (size <= 2 * kWindowPages * kPage) {
      expected = model_.Write(gpa, std::vector<std::byte>(size, value));
    }
    Expect("Fill", memory_->Fill({gpa, size}, value) == expected);
  }

  void ReadString() {
    const Gpa gpa = reader_.Address();
    std::vector<char> ours(reader_.BufferSize());
    std::optional<size_t> expected;
    std::string text;
    for (size_t i = 0; i < ours.size(); ++i) {
      const std::optional<uint64_t> at = model_.Find(gpa, i, false);
      if (!at.has_value()) break;
      text.push_back(static_cast<char>(model_.pool[*at]));
      if (text.back() == '\0') {
        expected = i;
        break;
      }
    }
    Expect("ReadString", memory_->ReadString(gpa, ours) == expected);
    if (expected.has_value()) {
      Expect("ReadString text",
             std::memcmp(ours.data(), text.data(), text.size()) == 0);
    }
  }

  void Covered() {
    const GpaRange range{reader_.Address(), reader_.Size()};
    Expect("IsReadable", memory_->IsReadable(range) ==
                             model_.Covers(range.start, range.size, false));
    Expect("IsWritable", memory_->IsWritable(range) ==
                             model_.Covers(range.start, range.size, true));
  }

  void Spans() {
    const GpaRange range{reader_.Address(), reader_.Size()};
    uint64_t next = 0;
    const auto visit = [&](std::span<const std::byte> bytes) {
      for (size_t i = 0; i < bytes.size(); ++i) {
        const std::optional<uint64_t> at =
            model_.Find(range.start, next++, false);
        Expect("span", at.has_value() && &bytes[i] == pool_.data() + *at);
      }
      return true;
    };
    const bool readable = model_.Covers(range.start, range.size, false);
    Expect("ForEachReadableSpan",
           memory_->ForEachReadableSpan(range, visit) == readable &&
               next == (readable ? range.size : 0));
    next = 0;
    const bool writable = model_.Covers(range.start, range.size, true);
    Expect("ForEachWritableSpan",
           memory_->ForEachWritableSpan(range, visit) == writable &&
               next == (writable ? range.size : 0));

    const Model::Placed* const each = model_.At(range.start.value());
    const uint64_t here =
        each == nullptr
            ? 0
            : std::min(range.size,
                       each->size - (range.start.value() - each->gpa));
    next = 0;
    const std::span<const std::byte> read = memory_->ReadableSpan(range);
    Expect("ReadableSpan", read.size() == here);
    visit(read);
    const std::span<std::byte> write = memory_->WritableSpan(range);
    Expect("WritableSpan",
           write.size() == (each == nullptr || each->read_only ? 0 : here));
    Expect("WritableSpan address",
           write.empty() || write.data() == read.data());
  }

  void Track() {
    const uint64_t kind = reader_.Below(4);
    if (kind == 0) {
      memory_->TrackAllDirty();
      model_.track_all = true;
      for (Model::Placed& each : model_.placed) each.tracked = true;
      return;
    }
    if (kind == 1) {
      memory_->StopTrackingAllDirty();
      model_.track_all = false;
      for (Model::Placed& each : model_.placed) Untrack(each);
      return;
    }
    const Gpa gpa = reader_.PageStart();
    Model::Placed* const each = model_.StartingAt(gpa.value());
    if (kind == 2) {
      const auto bitmap = memory_->TrackDirty(gpa);
      Expect("TrackDirty", bitmap.ok() == (each != nullptr));
      if (each != nullptr) each->tracked = true;
    } else {
      Expect("StopTrackingDirty",
             memory_->StopTrackingDirty(gpa).ok() == (each != nullptr));
      if (each != nullptr) Untrack(*each);
    }
  }
  static void Untrack(Model::Placed& each) {
    each.tracked = false;
    each.dirty.clear();
  }

  void MarkDirty() {
    const GpaRange range{reader_.Address(), reader_.Size()};
    memory_->MarkDirty(range);
    for (Model::Placed& each : model_.placed) {
      for (uint64_t i = 0; i < each.size && each.tracked; ++i) {
        if (each.gpa + i - range.start.value() < range.size &&
            each.gpa + i >= range.start.value()) {
          model_.MarkByte(each.gpa + i);
        }
      }
    }
  }

  // Takes the marks of every tracked region.
  void Collect() {
    for (const PlacedRegion& placed : memory_->Regions()) {
      Model::Placed* const each = model_.StartingAt(placed.gpa.value());
      Expect("tracking",
             each != nullptr && (placed.dirty != nullptr) == each->tracked);
      if (placed.dirty == nullptr || each == nullptr) continue;
      std::vector<uint64_t> words(placed.dirty->word_count());
      const uint64_t count = placed.dirty->Collect(words);
      std::set<uint64_t> pages;
      ForEachPageRange(words, [&pages](PageRange run) {
        for (uint64_t i = 0; i < run.count; ++i) pages.insert(run.first + i);
        return true;
      });
      Expect("dirty pages",
             pages == each->dirty && count == each->dirty.size());
      each->dirty.clear();
    }
  }

  void Compare() {
    std::vector<Model::Placed> expected = model_.placed;
    std::sort(expected.begin(), expected.end(),
              [](const auto& a, const auto& b) { return a.gpa < b.gpa; });
    const std::vector<PlacedRegion> ours = memory_->Regions();
    Expect("number of regions", ours.size() == expected.size());
    for (size_t i = 0; i < std::min(ours.size(), expected.size()); ++i) {
      Expect(
          "regions",
          ours[i].gpa.value() == expected[i].gpa &&
              ours[i].region.size() == expected[i].size &&
              ours[i].region.data() == pool_.data() + expected[i].pool_offset &&
              ours[i].region.read_only() == expected[i].read_only);
    }
  }

  Reader reader_;
  std::unique_ptr<GuestMemory> memory_;
  MemoryRegion pool_;
  Model model_;
  int step_ = 0;
  std::string difference_;
};

}  // namespace

std::string RunGuestMemoryScript(std::span<const uint8_t> script) {
  return Script(script).Run();
}

}  // namespace libvmm::testing
