// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/address_space_script.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/fake_mmu.h"
#include "libvmm/sandbox/address_space/stale_entries.h"
#include "libvmm/sandbox/address_space/user_access.h"
#include "libvmm/sandbox/address_space/user_memory.h"

namespace libvmm::sandbox::testing {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFirstPage = AddressSpace::kUserStart.value() / kPage;
constexpr uint64_t kEndPage = AddressSpace::kUserEnd.value() / kPage;
// Frames that belong to nobody here, below and above those that are managed.
constexpr uint64_t kForeignFrames = 2;
constexpr std::byte kForeign{0xee};

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
  bool OneIn(uint64_t n) { return Below(n) == n - 1; }

  // Few places, so that ranges meet: around borders of tables of each level and
  // at both ends of the user addresses.
  Gva Page() {
    constexpr uint64_t kBases[] = {uint64_t{1} << 22, uint64_t{1} << 30,
                                   uint64_t{1} << 39,
                                   AddressSpace::kUserEnd.value() - 16 * kPage};
    if (OneIn(40)) return Gva(Byte() * kPage);
    const uint64_t base = kBases[Below(std::size(kBases))];
    return Gva(base) + Below(32) * kPage - 16 * kPage;
  }
  Gva Address() {
    const Gva page = Page();
    const uint8_t near = Byte();
    return near < 128 ? page + near : page + kPage - (near - 127);
  }
  // Where the guest gives a page, mostly.
  Gva Start() { return OneIn(50) ? Address() : Page(); }
  uint64_t Size() {
    const uint8_t kind = Byte();
    if (kind < 200) return (kind % 24 + 1) * kPage;
    if (kind < 240) return (kind - 200) * 16 * kPage + kind;
    if (kind < 246) return 0;
    return kind % 3 * 1000 + 1;
  }
  // Of a range whose content is looked at one by one.
  GvaRange SparseRange() {
    const uint8_t kind = Byte();
    if (kind < 240) return {Start(), Size()};
    if (kind < 248) return {AddressSpace::kUserStart, uint64_t{1} << 46};
    return {Gva(Byte() * kPage), ~uint64_t{0} - Byte() * kPage};
  }
  UserAccess Access() {
    constexpr UserAccess kKinds[] = {
        {.readable = true, .writable = true},
        {.readable = true, .writable = true},
        {.readable = true},
        {.readable = true, .executable = true},
        {},
        {.writable = true},
        {.executable = true},
        {.readable = true, .writable = true, .executable = true}};
    return kKinds[Below(std::size(kKinds))];
  }
  AccessKind Kind() { return static_cast<AccessKind>(Below(3)); }

 private:
  std::span<const uint8_t> bytes_;
};

// The user address space as its contract describes it, a page at a time.
struct Model {
  struct Page {
    UserAccess access{};
    bool grows_down = false;
    // Nothing: zeroes.
    std::shared_ptr<const std::vector<uint8_t>> bytes = nullptr;
  };
  std::map<uint64_t, Page> pages;
  uint64_t heap_start = 0;
  uint64_t heap_break = 0;

  bool IsFree(uint64_t first, uint64_t end) const {
    const auto next = pages.lower_bound(first);
    return next == pages.end() || next->first >= end;
  }
  // True when every page is there.
  bool IsMapped(uint64_t first, uint64_t end) const {
    uint64_t expected = first;
    for (auto it = pages.lower_bound(first);
         it != pages.end() && it->first < end && it->first == expected; ++it) {
      ++expected;
    }
    return expected == end;
  }
  void Erase(uint64_t first, uint64_t end) {
    pages.erase(pages.lower_bound(first), pages.lower_bound(end));
  }
  void Write(uint64_t address, std::span<const uint8_t> from) {
    for (size_t done = 0; done < from.size();) {
      Page& page = pages.at((address + done) / kPage);
      const size_t offset = (address + done) % kPage;
      const size_t size = std::min<size_t>(kPage - offset, from.size() - done);
      std::vector<uint8_t> bytes =
          page.bytes ? *page.bytes : std::vector<uint8_t>(kPage);
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(done), size,
                  bytes.begin() + static_cast<ptrdiff_t>(offset));
      page.bytes = std::make_shared<const std::vector<uint8_t>>(bytes);
      done += size;
    }
  }
  uint8_t At(uint64_t address) const {
    const Page& page = pages.at(address / kPage);
    return page.bytes ? (*page.bytes)[address % kPage] : 0;
  }
};

bool Alike(const Model::Page& a, const Model::Page& b) {
  return a.access == b.access && a.grows_down == b.grows_down;
}

UserAccess Normalized(UserAccess access) {
  access.readable = access.readable || access.writable || access.executable;
  return access;
}

// Pages of a range as mmap and its like round it; nothing when that is not
// possible among user addresses.
struct Pages {
  uint64_t first = 0;
  uint64_t end = 0;
  uint64_t count() const { return end - first; }
};
std::optional<Pages> PagesOf(GvaRange range) {
  if (range.size == 0 || range.size > kEndPage * kPage) return {};
  const uint64_t first = range.start.value() / kPage;
  const uint64_t end = first + (range.size + kPage - 1) / kPage;
  if (first < kFirstPage || end > kEndPage) return {};
  return Pages{first, end};
}

// One run of a script.
class Run {
 public:
  Run(std::span<const uint8_t> script, ScriptCounts& counts)
      : reader_(script), counts_(counts) {
    frames_ = 16 + reader_.Below(128);
    options_ = {.managed = {Gpa(kForeignFrames * kPage), frames_ * kPage},
                .fault_around_pages = uint64_t{1} << reader_.Below(5),
                .eager_size = reader_.Below(3) * 8 * kPage,
                .guard_gap = (1 + reader_.Below(3)) * kPage,
                .stack_limit = (1 + reader_.Below(20)) * kPage,
                .layout_seed = reader_.Below(2) * 7};
    memory_ = MakeMemory();
    auto space = AddressSpace::Create(*memory_, options_);
    LIBVMM_CHECK(space.ok());
    space_ = *std::move(space);
    mmu_ = std::make_unique<FakeMmu>(*memory_, space_->root());
    Save();
  }

  std::string Go() {
    for (int step = 0; !reader_.done() && error_.empty(); ++step) {
      const uint64_t operation = reader_.Below(24);
      Step(operation);
      if (error_.empty() && step % 64 == 0) CompareAll();
      if (!error_.empty()) {
        return absl::StrCat("step ", step, ", operation ", operation, ": ",
                            error_);
      }
    }
    if (error_.empty()) CompareAll();
    return error_;
  }

 private:
  void Expect(bool condition, const std::string& what) {
    if (!condition && error_.empty()) error_ = what;
  }
  void Count(const char* what) { ++counts_[what]; }
  void CountResult(const char* what, int64_t result) {
    ++counts_[absl::StrCat(what,
                           result >= 0 ? " 0" : absl::StrCat(" ", result))];
  }

  void Step(uint64_t operation) {
    switch (operation) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Map();
      case 4:
        return Unmap();
      case 5:
      case 6:
        return Protect();
      case 7:
      case 8:
        return Remap();
      case 9:
        return Break();
      case 10:
        return Discard();
      case 11:
        return Populate();
      case 12:
        return PopulateAny();
      case 13:
        return HostWrite(true);
      case 14:
        return HostWrite(false);
      case 15:
        return HostRead();
      case 16:
        return ReadString();
      case 17:
        return TakeSomeStale();
      case 18:
        if (reader_.OneIn(3)) Save();
        return;
      case 19:
        if (reader_.OneIn(3)) Reset();
        return;
      case 20:
        if (reader_.OneIn(3)) Clone();
        return;
      default:
        return UserAccesses();
    }
  }

  // Memory with foreign bytes around zeroes.
  std::unique_ptr<GuestMemory> MakeMemory() {
    std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
    const uint64_t size = (frames_ + 2 * kForeignFrames) * kPage;
    auto region = MemoryRegion::Anonymous({.size = size});
    LIBVMM_CHECK(region.ok());
    LIBVMM_CHECK(memory->Add(Gpa(0), *region).ok());
    const GpaRange high{Gpa((frames_ + kForeignFrames) * kPage),
                        kForeignFrames * kPage};
    LIBVMM_CHECK(memory->Fill({Gpa(0), kForeignFrames * kPage}, kForeign));
    LIBVMM_CHECK(memory->Fill(high, kForeign));
    return memory;
  }

  // Frames that can be had, as far as stale entries do not keep them.
  bool ShortOf(uint64_t frames) const {
    return space_->available_frames() < frames;
  }
  static constexpr uint64_t kTablesForAny = 9;

  void Map() {
    AddressSpace::MapRequest request{
        .at = reader_.Start(),
        .size = reader_.Size(),
        .place = static_cast<AddressSpace::Place>(reader_.Below(3)),
        .access = reader_.Access(),
        .populate = reader_.OneIn(4),
        .grows_down = reader_.OneIn(6)};
    if (reader_.OneIn(20)) request.at = Gva(0);
    const bool anywhere = request.place == AddressSpace::Place::kAnywhere;
    int64_t expected = 0;
    const auto wish = PagesOf({request.at.AlignDown(kPage), request.size});
    if (request.size == 0) {
      expected = -EINVAL;
    } else if (!anywhere && !request.at.IsAligned(kPage)) {
      expected = -EINVAL;
    } else if (!anywhere && request.at < AddressSpace::kUserStart) {
      expected = -EPERM;
    } else if (!anywhere && !wish) {
      expected = -ENOMEM;
    } else if (request.access.writable && request.access.executable) {
      expected = -EACCES;
    } else if (request.place == AddressSpace::Place::kFixedNoReplace &&
               !model_.IsFree(wish->first, wish->end)) {
      expected = -EEXIST;
    }
    const uint64_t count = (request.size + kPage - 1) / kPage;
    const bool populates =
        request.access.any() &&
        (request.populate || count * kPage <= options_.eager_size);
    const bool scarce = populates && ShortOf(count + kTablesForAny);
    const bool too_many = populates && count > frames_ - space_->used_frames();
    const int64_t result = space_->Map(request);
    CountResult("map", result);
    if (expected != 0) {
      Expect(result == expected,
             absl::StrCat("map gave ", result, ", not ", expected));
      return;
    }
    if (result == -ENOMEM && scarce) return;
    Expect(result >= 0, absl::StrCat("map gave ", result));
    Expect(!too_many, "map has more pages than there are frames");
    if (!error_.empty()) return;
    const auto pages =
        PagesOf({Gva(static_cast<uint64_t>(result)), request.size});
    Expect(pages && result % static_cast<int64_t>(kPage) == 0,
           "map outside of user addresses");
    if (!error_.empty()) return;
    if (!anywhere) {
      Expect(pages->first == wish->first, "fixed map elsewhere");
      model_.Erase(pages->first, pages->end);
    } else {
      Expect(model_.IsFree(pages->first, pages->end), "map onto another");
      if (wish && model_.IsFree(wish->first, wish->end)) {
        Expect(pages->first == wish->first, "free wish was not granted");
      }
    }
    for (uint64_t page = pages->first; page < pages->end; ++page) {
      model_.pages[page] = {.access = Normalized(request.access),
                            .grows_down = request.grows_down,
                            .bytes = nullptr};
      if (populates) {
        Expect(space_->Translate(Gva(page * kPage)).has_value(),
               "eager page without a frame");
      }
    }
  }

  void Unmap() {
    const GvaRange range = reader_.SparseRange();
    const auto pages = PagesOf(range);
    const int64_t result = space_->Unmap(range);
    CountResult("unmap", result);
    if (!pages || !range.start.IsAligned(kPage)) {
      Expect(result == -EINVAL, absl::StrCat("bad unmap gave ", result));
      return;
    }
    Expect(result == 0, absl::StrCat("unmap gave ", result));
    model_.Erase(pages->first, pages->end);
  }

  void Protect() {
    const GvaRange range = reader_.SparseRange();
    const UserAccess access = reader_.Access();
    const auto pages = PagesOf(range);
    int64_t expected = 0;
    if (!range.start.IsAligned(kPage)) {
      expected = -EINVAL;
    } else if (range.size == 0) {
      expected = 0;
    } else if (!pages) {
      expected = -ENOMEM;
    } else if (access.writable && access.executable) {
      expected = -EACCES;
    } else if (!model_.IsMapped(pages->first, pages->end)) {
      expected = -ENOMEM;
    }
    const int64_t result = space_->Protect(range, access);
    CountResult("protect", result);
    Expect(result == expected,
           absl::StrCat("protect gave ", result, ", not ", expected));
    if (expected != 0 || range.size == 0) return;
    for (uint64_t page = pages->first; page < pages->end; ++page) {
      model_.pages[page].access = Normalized(access);
    }
  }

  // True when the pages are parts of one area.
  bool InOneArea(Pages pages) const {
    if (!model_.IsMapped(pages.first, pages.end)) return false;
    const Model::Page& first = model_.pages.at(pages.first);
    for (uint64_t page = pages.first; page < pages.end; ++page) {
      if (!Alike(model_.pages.at(page), first)) return false;
    }
    return true;
  }

  void Remap() {
    AddressSpace::RemapRequest request{
        .from = {reader_.Start(), reader_.Size()},
        .new_size = reader_.Size(),
        .may_move = reader_.Below(4) != 0,
        .to_fixed = reader_.OneIn(3),
        .to = reader_.Start()};
    const auto from = PagesOf(request.from);
    const auto to = PagesOf({request.to, request.new_size});
    int64_t expected = 0;
    if (!request.from.start.IsAligned(kPage) ||
        (request.to_fixed && !request.may_move) || request.new_size == 0 ||
        request.from.size == 0 ||
        (request.to_fixed && (!to || !request.to.IsAligned(kPage)))) {
      expected = -EINVAL;
    } else if (!from) {
      expected = -EFAULT;
    } else if (request.to_fixed && to->first < from->end &&
               from->first < to->end) {
      expected = -EINVAL;
    } else if (!InOneArea(*from)) {
      expected = -EFAULT;
    }
    const uint64_t count = (request.new_size + kPage - 1) / kPage;
    const bool scarce = ShortOf(kTablesForAny);
    const int64_t result = space_->Remap(request);
    CountResult(request.to_fixed ? "remap fixed" : "remap", result);
    if (expected != 0) {
      Expect(result == expected,
             absl::StrCat("remap gave ", result, ", not ", expected));
      return;
    }
    Pages target{};
    if (request.to_fixed) {
      target = *to;
    } else {
      target = {from->first, from->first + count};
      const bool in_place =
          count <= from->count() ||
          (target.end <= kEndPage && model_.IsFree(from->end, target.end));
      if (!in_place && !request.may_move) {
        Expect(result == -ENOMEM, absl::StrCat("remap grew to ", result));
        return;
      }
      if (!in_place && result >= 0) {
        const uint64_t first = static_cast<uint64_t>(result) / kPage;
        target = {first, first + count};
        Expect(first >= kFirstPage && target.end <= kEndPage &&
                   model_.IsFree(target.first, target.end),
               "remap to where it cannot be");
        Count("remap moved");
      }
    }
    if (result == -ENOMEM && scarce) return;
    Expect(result == static_cast<int64_t>(target.first * kPage),
           absl::StrCat("remap gave ", result));
    if (!error_.empty()) return;
    const Model::Page kind = model_.pages.at(from->first);
    std::vector<Model::Page> moved;
    for (uint64_t i = 0; i < count; ++i) {
      Model::Page page = {.access = kind.access,
                          .grows_down = kind.grows_down,
                          .bytes = nullptr};
      if (i < from->count()) page = model_.pages.at(from->first + i);
      moved.push_back(page);
    }
    model_.Erase(from->first, from->end);
    model_.Erase(target.first, target.end);
    for (uint64_t i = 0; i < count; ++i) {
      model_.pages[target.first + i] = moved[i];
    }
  }

  void Break() {
    if (model_.heap_start == 0) {
      model_.heap_start = reader_.Page().value();
      if (model_.heap_start < AddressSpace::kUserStart.value()) {
        model_.heap_start = AddressSpace::kUserStart.value();
      }
      model_.heap_break = model_.heap_start;
      space_->SetHeapStart(Gva(model_.heap_start));
    }
    uint64_t wish = model_.heap_start + reader_.Size();
    if (reader_.OneIn(20)) wish = model_.heap_start - reader_.Byte();
    if (reader_.OneIn(20)) wish = ~uint64_t{0} - reader_.Byte();
    const uint64_t before = model_.heap_break;
    const uint64_t old_end = (before + kPage - 1) / kPage;
    const uint64_t new_end = (wish + kPage - 1) / kPage;
    const bool grows = new_end > old_end;
    const bool allowed = wish >= model_.heap_start &&
                         wish <= kEndPage * kPage &&
                         (!grows || model_.IsFree(old_end, new_end));
    const bool scarce = grows && ShortOf(new_end - old_end + kTablesForAny);
    const uint64_t result = space_->SetBreak(Gva(wish)).value();
    CountResult("break", result == wish ? 0 : -1);
    Expect(space_->heap_break().value() == result, "break and result differ");
    if (!allowed || (scarce && result == before && result != wish)) {
      Expect(result == before, absl::StrCat("break moved to ", result));
      return;
    }
    Expect(result == wish, absl::StrCat("break did not move to ", wish));
    if (!error_.empty()) return;
    model_.heap_break = wish;
    if (!grows) {
      model_.Erase(new_end, old_end);
      return;
    }
    for (uint64_t page = old_end; page < new_end; ++page) {
      model_.pages[page] = {.access = {.readable = true, .writable = true}};
    }
  }

  void Discard() {
    const GvaRange range = reader_.SparseRange();
    const auto pages = PagesOf(range);
    int64_t expected = 0;
    if (!range.start.IsAligned(kPage)) {
      expected = -EINVAL;
    } else if (range.size != 0 &&
               (!pages || !model_.IsMapped(pages->first, pages->end))) {
      expected = -ENOMEM;
    }
    Expect(space_->CheckMapped(range) == expected, "check of a mapping");
    const int64_t result = space_->Discard(range);
    CountResult("discard", result);
    Expect(result == expected,
           absl::StrCat("discard gave ", result, ", not ", expected));
    if (!pages || !range.start.IsAligned(kPage)) return;
    for (auto it = model_.pages.lower_bound(pages->first);
         it != model_.pages.end() && it->first < pages->end; ++it) {
      it->second.bytes = nullptr;
    }
  }

  // The model's page for an access, after the growth of a stack.
  Model::Page* PageFor(uint64_t page) {
    const auto next = model_.pages.lower_bound(page);
    if (next == model_.pages.end()) return nullptr;
    if (next->first == page) return &next->second;
    if (!next->second.grows_down || page < kFirstPage) return nullptr;
    const uint64_t start = next->first;
    uint64_t end = start;
    for (auto it = next; it != model_.pages.end() && it->first == end &&
                         Alike(it->second, next->second);
         ++it) {
      ++end;
    }
    if ((end - page) * kPage > options_.stack_limit) return nullptr;
    if (next != model_.pages.begin()) {
      const uint64_t below = std::prev(next)->first + 1;
      if ((page - below) * kPage < options_.guard_gap) return nullptr;
    }
    const Model::Page kind{
        .access = next->second.access, .grows_down = true, .bytes = nullptr};
    for (uint64_t i = page; i < start; ++i) model_.pages[i] = kind;
    Count("stack grew");
    return &model_.pages[page];
  }

  PopulateResult Expected(Gva gva, AccessKind kind) {
    const Model::Page* const page = PageFor(gva.value() / kPage);
    if (page == nullptr) return PopulateResult::kNotMapped;
    return Allows(page->access, kind) ? PopulateResult::kDone
                                      : PopulateResult::kDenied;
  }

  // A page fault.
  PopulateResult PopulateAt(Gva gva, AccessKind kind) {
    const PopulateResult expected = Expected(gva, kind);
    const bool scarce = ShortOf(4);
    const PopulateResult result = space_->Populate(gva, kind);
    ++counts_[absl::StrCat("populate ", static_cast<int>(result))];
    if (expected == PopulateResult::kDone && scarce &&
        result == PopulateResult::kOutOfMemory) {
      return result;
    }
    Expect(result == expected,
           absl::StrCat("populate gave ", static_cast<int>(result), ", not ",
                        static_cast<int>(expected)));
    return result;
  }
  void Populate() {
    const Gva gva = reader_.Address();
    PopulateAt(gva, reader_.Kind());
  }

  void PopulateAny() {
    const Gva gva = reader_.Address();
    const bool mapped = model_.pages.count(gva.value() / kPage) != 0;
    const bool scarce = ShortOf(4);
    const PopulateResult result = space_->PopulateAny(gva);
    if (scarce && mapped && result == PopulateResult::kOutOfMemory) return;
    Expect(
        result == (mapped ? PopulateResult::kDone : PopulateResult::kNotMapped),
        absl::StrCat("populate any gave ", static_cast<int>(result)));
  }

  // How many bytes an access gets through.
  uint64_t ExpectedBytes(GvaRange range, std::optional<AccessKind> kind) {
    uint64_t done = 0;
    while (done < range.size) {
      const Gva gva = range.start + done;
      if (kind) {
        if (Expected(gva, *kind) != PopulateResult::kDone) break;
      } else if (model_.pages.count(gva.value() / kPage) == 0) {
        break;
      }
      done += kPage - gva.value() % kPage;
    }
    return std::min(done, range.size);
  }
  // The same, when frames may run out on the way: pages that have one now.
  uint64_t PopulatedBytes(GvaRange range, uint64_t limit) {
    uint64_t done = 0;
    while (done < limit && space_->Translate(range.start + done)) {
      done += kPage - (range.start + done).value() % kPage;
    }
    return std::min(done, limit);
  }

  void HostWrite(bool as_user) {
    const GvaRange range{reader_.Address(), reader_.Below(3) * 4000 + 1};
    std::vector<uint8_t> bytes(range.size);
    uint8_t next = reader_.Byte();
    for (uint8_t& byte : bytes) byte = next++;
    if (range.start.value() + range.size > kEndPage * kPage) return;
    uint64_t expected = ExpectedBytes(
        range, as_user ? std::optional(AccessKind::kWrite) : std::nullopt);
    UserMemory user(*space_);
    const auto from = std::as_bytes(std::span(bytes));
    const bool ok = as_user ? user.Write(range.start, from)
                            : user.LoadWrite(range.start, from);
    if (user.ran_out()) {
      Expect(!ok, "write without frames");
      Count("host write ran out");
      expected = PopulatedBytes(range, expected);
    } else {
      Expect(ok == (expected == range.size),
             absl::StrCat("host write gave ", ok));
      ++counts_[absl::StrCat("host write ", ok)];
    }
    bytes.resize(expected);
    model_.Write(range.start.value(), bytes);
  }

  void HostRead() {
    const GvaRange range{reader_.Address(), reader_.Below(3) * 4000 + 1};
    const bool as_user = reader_.OneIn(2);
    if (range.start.value() + range.size > kEndPage * kPage) return;
    const uint64_t expected = ExpectedBytes(
        range, as_user ? std::optional(AccessKind::kRead) : std::nullopt);
    std::vector<uint8_t> bytes(range.size);
    UserMemory user(*space_);
    const auto to = std::as_writable_bytes(std::span(bytes));
    const bool ok =
        as_user ? user.Read(range.start, to) : user.LoadRead(range.start, to);
    if (user.ran_out()) return;
    Expect(ok == (expected == range.size), absl::StrCat("host read gave ", ok));
    if (!ok || !error_.empty()) return;
    Count("host read");
    for (uint64_t i = 0; i < range.size; ++i) {
      Expect(bytes[i] == model_.At(range.start.value() + i),
             "host read other bytes");
    }
  }

  void ReadString() {
    const Gva gva = reader_.Address();
    const uint64_t max = reader_.Below(4) * 2000;
    if (gva.value() + max > kEndPage * kPage) return;
    const uint64_t usable = ExpectedBytes({gva, max}, AccessKind::kRead);
    UserMemory user(*space_);
    const auto string = user.ReadString(gva, max);
    if (user.ran_out()) return;
    std::string expected;
    bool ended = false;
    while (expected.size() < usable) {
      const uint8_t byte = model_.At(gva.value() + expected.size());
      if (byte == 0) {
        ended = true;
        break;
      }
      expected.push_back(static_cast<char>(byte));
    }
    if (!ended && usable < max) {
      Expect(!string, "a string without an end");
      return;
    }
    Expect(string.has_value(), "no string");
    if (!error_.empty()) return;
    Count("string");
    Expect(string->too_long == !ended, "wrong about the string's end");
    Expect(string->text == expected, "another string");
  }

  void TakeStale(size_t room) {
    std::vector<StaleRange> buffer(room);
    const size_t before = space_->stale().size();
    const size_t count = space_->TakeStale(buffer);
    Expect(count == std::min(room, before), "stale ranges are missing");
    if (count != 0) Count("stale");
    mmu_->Rewrite(std::span(buffer).first(count));
  }
  void TakeSomeStale() { TakeStale(reader_.Below(3)); }
  void TakeAllStale() {
    while (!space_->stale().empty() && error_.empty()) TakeStale(3);
  }

  // User code runs: faults come back to the host.
  void UserAccesses() {
    TakeAllStale();
    const uint64_t count = 1 + reader_.Below(4);
    for (uint64_t i = 0; i < count && error_.empty(); ++i) {
      const Gva gva = reader_.Address().AlignDown(8);
      const AccessKind kind = reader_.Kind();
      UserAccessAt(gva, kind);
      Expect(*mmu_->complaint() == '\0', mmu_->complaint());
    }
  }
  void UserAccessAt(Gva gva, AccessKind kind) {
    auto gpa = mmu_->Access(gva, kind);
    if (!gpa) {
      if (PopulateAt(gva, kind) != PopulateResult::kDone) return;
      TakeAllStale();
      gpa = mmu_->Access(gva, kind);
      Expect(gpa.has_value(), "a page that is populated still faults");
      if (!error_.empty()) return;
    }
    const auto page = model_.pages.find(gva.value() / kPage);
    Expect(page != model_.pages.end(), "user code reaches an unmapped page");
    if (!error_.empty()) return;
    Expect(Allows(page->second.access, kind), "user code does what it may not");
    Expect(options_.managed.Contains(*gpa, 8) &&
               !space_->IsTable(gpa->AlignDown(kPage)),
           "user code reaches what is not a page");
    if (!error_.empty()) return;
    Count("user access");
    std::array<uint8_t, 8> bytes{};
    if (kind == AccessKind::kWrite) {
      for (uint8_t& byte : bytes) byte = ++written_;
      Expect(memory_->Write(*gpa, std::as_bytes(std::span(bytes))), "write");
      model_.Write(gva.value(), bytes);
      return;
    }
    Expect(memory_->Read(*gpa, std::as_writable_bytes(std::span(bytes))),
           "read");
    for (uint64_t i = 0; i < bytes.size(); ++i) {
      Expect(bytes[i] == model_.At(gva.value() + i),
             absl::StrCat("user code reads other bytes at ",
                          absl::Hex(gva.value())));
    }
  }

  std::span<const std::byte> BytesAt(GpaRange range) const {
    const auto bytes = memory_->ReadableSpan(range);
    LIBVMM_CHECK(bytes.size() == range.size);
    return bytes;
  }
  // All of memory.
  std::span<const std::byte> Image() const {
    return BytesAt({Gpa(0), (frames_ + 2 * kForeignFrames) * kPage});
  }
  static bool Equal(std::span<const std::byte> a,
                    std::span<const std::byte> b) {
    return a.size() == b.size() &&
           std::memcmp(a.data(), b.data(), a.size()) == 0;
  }

  void Save() {
    Count("save");
    saved_ = space_->Save();
    saved_image_.assign(Image().begin(), Image().end());
    saved_model_ = model_;
    // From here on every page that is written is marked.
    auto dirty = memory_->TrackDirty(Gpa(0));
    LIBVMM_CHECK(dirty.ok());
    dirty_ = *std::move(dirty);
    dirty_->Clear();
  }

  void Reset() {
    Count("reset");
    for (uint64_t page = 0; page < saved_image_.size() / kPage; ++page) {
      const std::span<const std::byte> pristine =
          std::span(saved_image_).subspan(page * kPage, kPage);
      if (!dirty_->Test(page)) {
        Expect(Equal(BytesAt({Gpa(page * kPage), kPage}), pristine),
               "a page was written and not marked");
        continue;
      }
      const Gpa gpa(page * kPage);
      if (space_->IsTable(gpa) || saved_->IsTable(gpa)) {
        Expect(space_->RestoreTable(gpa, pristine), "restore of a table");
      } else {
        Expect(memory_->Write(gpa, pristine), "restore of a page");
      }
    }
    space_->Restore(*saved_);
    model_ = saved_model_;
    Expect(Equal(Image(), saved_image_), "memory differs after a reset");
    dirty_->Clear();
  }

  // Goes on with a copy of what was saved.
  void Clone() {
    Count("clone");
    std::unique_ptr<GuestMemory> memory = MakeMemory();
    LIBVMM_CHECK(memory->Write(Gpa(0), saved_image_));
    mmu_.reset();
    space_ = AddressSpace::Create(*memory, *saved_);
    memory_ = std::move(memory);
    mmu_ = std::make_unique<FakeMmu>(*memory_, space_->root());
    model_ = saved_model_;
    Save();
  }

  void CompareAll() {
    CompareAreas();
    CompareTables();
    // Nobody wrote outside of what is managed.
    for (const Gpa start : {Gpa(0), Gpa((frames_ + kForeignFrames) * kPage)}) {
      const auto bytes = BytesAt({start, kForeignFrames * kPage});
      Expect(std::all_of(bytes.begin(), bytes.end(),
                         [](std::byte byte) { return byte == kForeign; }),
             "foreign memory was written");
    }
  }

  void CompareAreas() {
    auto page = model_.pages.begin();
    const Area* before = nullptr;
    for (const Area& area : space_->areas()) {
      Expect(area.start < area.end, "empty area");
      Expect(before == nullptr || before->end < area.start ||
                 (before->end == area.start &&
                  (before->access != area.access ||
                   before->grows_down != area.grows_down)),
             "areas that are one");
      before = &area;
      for (uint64_t i = area.start.value() / kPage;
           i < area.end.value() / kPage && error_.empty(); ++i, ++page) {
        Expect(page != model_.pages.end() && page->first == i &&
                   page->second.access == area.access &&
                   page->second.grows_down == area.grows_down,
               absl::StrCat("area at ", absl::Hex(i * kPage)));
      }
      if (!error_.empty()) return;
    }
    Expect(page == model_.pages.end(), "an area is missing");
    for (const auto& [number, each] : model_.pages) {
      Expect(each.bytes == nullptr ||
                 space_->Translate(Gva(number * kPage)).has_value(),
             "a page with bytes lost its frame");
    }
  }

  // Every table and page is where it belongs, once.
  void CompareTables() {
    std::set<uint64_t> seen;
    uint64_t pages = 0;
    CompareTable(space_->root(), 39, 0, seen, pages);
    Expect(seen.size() == space_->used_frames(),
           absl::StrCat(seen.size(), " frames in tables, ",
                        space_->used_frames(), " in use"));
    Expect(space_->used_frames() + space_->available_frames() <= frames_,
           "more frames than there are");
  }
  void CompareTable(Gpa table, int shift, uint64_t base,
                    std::set<uint64_t>& seen, uint64_t& pages) {
    Expect(options_.managed.Contains(table, kPage), "table outside");
    Expect(space_->IsTable(table), "a table that is none");
    Expect(seen.insert(table.value()).second, "a table used twice");
    if (!error_.empty()) return;
    bool empty = true;
    std::array<uint64_t, 512> entries;
    std::memcpy(entries.data(), BytesAt({table, kPage}).data(), kPage);
    for (uint64_t i = 0; i < 512 && error_.empty(); ++i) {
      const uint64_t entry = entries[i];
      if (entry == 0) continue;
      empty = false;
      const uint64_t gva = base + (i << shift);
      if (shift > 12) {
        Expect((entry & 0xfff) == 0x27 && entry >> 52 == 0, "table entry");
        CompareTable(Gpa(entry & 0x000f'ffff'ffff'f000), shift - 9, gva, seen,
                     pages);
      } else {
        ++pages;
        ComparePage(entry, gva, seen);
      }
    }
    // Where there are no areas there are no tables.
    Expect(!empty || shift == 39 ||
               !model_.IsFree(base / kPage,
                              (base + (uint64_t{512} << shift)) / kPage),
           "a table without areas");
  }
  void ComparePage(uint64_t entry, uint64_t gva, std::set<uint64_t>& seen) {
    const auto page = model_.pages.find(gva / kPage);
    Expect(page != model_.pages.end(), "an entry without a page");
    if (!error_.empty()) return;
    const UserAccess access = page->second.access;
    const bool present = (entry & 1) != 0;
    const uint64_t frame = (present ? entry : ~entry) & 0x000f'ffff'ffff'f000;
    uint64_t expected = frame | 0x25 | (access.writable ? 0x42 : 0) |
                        (access.executable ? 0 : uint64_t{1} << 63);
    if (!access.any()) expected = ~frame & 0x000f'ffff'ffff'f000;
    Expect(entry == expected, absl::StrCat("entry ", absl::Hex(entry), ", not ",
                                           absl::Hex(expected)));
    Expect(options_.managed.Contains(Gpa(frame), kPage), "page outside");
    Expect(!space_->IsTable(Gpa(frame)), "a page that is a table");
    Expect(seen.insert(frame).second, "a frame used twice");
    if (!error_.empty()) return;
    static constexpr std::array<uint8_t, kPage> kZeroes{};
    const std::span<const uint8_t> wanted =
        page->second.bytes != nullptr
            ? std::span<const uint8_t>(*page->second.bytes)
            : std::span<const uint8_t>(kZeroes);
    Expect(Equal(BytesAt({Gpa(frame), kPage}), std::as_bytes(wanted)),
           "a page with other bytes");
  }

  Reader reader_;
  ScriptCounts& counts_;
  std::string error_;
  uint64_t frames_ = 0;
  AddressSpace::Options options_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<AddressSpace> space_;
  std::unique_ptr<FakeMmu> mmu_;
  Model model_;
  uint8_t written_ = 0;

  std::optional<AddressSpace::Snapshot> saved_;
  std::vector<std::byte> saved_image_;
  Model saved_model_;
  std::shared_ptr<DirtyBitmap> dirty_;
};

}  // namespace

std::string RunAddressSpaceScript(std::span<const uint8_t> script,
                                  ScriptCounts* counts) {
  ScriptCounts none;
  return Run(script, counts == nullptr ? none : *counts).Go();
}

}  // namespace libvmm::sandbox::testing
