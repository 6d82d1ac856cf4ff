// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/ring_script.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {
namespace {

using Buffer = VirtqueueDriver::Buffer;
using Layout = VirtqueueDriver::Layout;

constexpr uint64_t kMemorySize = 128 << 10;
constexpr Gpa kRing{0x1000};
constexpr uint32_t kTableSize = 6;

constexpr uint16_t kSizes[] = {1, 2, 4, 8, 16, 32};

}  // namespace

// One ring, its driver and its model.
class RingScript::Side {
 public:
  Side(const VirtqueueDriver::Options& options)
      : name_(options.packed ? "packed" : "split"),
        packed_(options.packed),
        region_(NewRegion()),
        model_({.size = options.size,
                .packed = options.packed,
                .event_index = options.event_index,
                .polled = options.polled}) {
    LIBVMM_CHECK(memory_->Add(Gpa(0), region_).ok());
    driver_.emplace(*memory_, kRing, options);
    queue_ = Virtqueue::Create(*memory_, driver_->config());
    LIBVMM_CHECK(queue_.has_value());
    chains_.resize(options.size);
  }

  bool HasRoom(size_t places) const { return places <= driver_->free_places(); }

  void Add(uint64_t number, const std::vector<Buffer>& buffers, Layout layout) {
    if (packed_ && layout == Layout::kMixed) layout = Layout::kIndirect;
    const std::optional<uint16_t> id = driver_->Add(buffers, layout);
    LIBVMM_CHECK(id.has_value());
    const auto places =
        static_cast<uint16_t>(layout == Layout::kDirect ? buffers.size() : 1);
    chains_[*id] = {.number = number, .places = places, .buffers = buffers};
    model_.Add(number, places);
  }

  std::string DriverPublish() {
    return Compare("notification", driver_->Publish(), model_.DriverPublish());
  }

  std::string Collect() {
    const auto used = driver_->Collect();
    const auto expected = model_.Collect();
    std::string difference =
        Compare("something used", used.has_value(), expected.has_value());
    if (!difference.empty() || !used.has_value()) return difference;
    if (used->id >= chains_.size()) return Text("an id of no chain");
    difference =
        Compare("used chain", chains_[used->id].number, expected->chain);
    if (!difference.empty()) return difference;
    return Compare("written", used->written, expected->written);
  }

  void DisableInterrupts() {
    driver_->DisableInterrupts();
    model_.DisableInterrupts();
  }
  std::string EnableInterrupts(uint16_t skip) {
    return Compare("something used already", driver_->EnableInterrupts(skip),
                   model_.EnableInterrupts(skip));
  }

  std::string Pop() {
    const PopResult result = queue_->Pop(chain_);
    const std::optional<uint64_t> expected = model_.Pop();
    if (result == PopResult::kMalformed) return Text("a malformed chain");
    std::string difference =
        Compare("something available", result == PopResult::kChain,
                expected.has_value());
    if (!difference.empty() || !expected.has_value()) return difference;
    const ChainToken token = chain_.token();
    if (token.id >= chains_.size()) return Text("a token of no chain");
    const Chain& chain = chains_[token.id];
    difference = Compare("popped chain", chain.number, *expected);
    if (!difference.empty()) return difference;
    held_.push_back(token);
    return CompareChain(chain);
  }
  void Unpop() {
    queue_->Unpop(held_.back());
    held_.pop_back();
    model_.Unpop();
  }
  size_t held() const { return held_.size(); }
  void Push(size_t held, uint32_t written) {
    queue_->Push(held_[held], written);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(held));
    model_.Push(held, written);
  }
  std::string DevicePublish() {
    return Compare("interrupt", queue_->Publish(), model_.DevicePublish());
  }

  void DisableNotifications() {
    queue_->DisableNotifications();
    model_.DisableNotifications();
  }
  std::string EnableNotifications() {
    return Compare("something available already", queue_->EnableNotifications(),
                   model_.EnableNotifications());
  }

  std::string SaveAndRestore() {
    const VirtqueueState state = queue_->Save();
    model_.Save();
    std::optional<Virtqueue> next =
        Virtqueue::Create(*memory_, driver_->config());
    LIBVMM_CHECK(next.has_value());
    const absl::Status status = next->Restore(state);
    if (!status.ok()) return Text(status.ToString());
    if (next->Save() != state) return Text("another state after Restore");
    queue_ = *std::move(next);
    return "";
  }

  std::string MoveMemory() {
    MemoryRegion other = NewRegion();
    std::memcpy(other.data(), region_.data(), kMemorySize);
    LIBVMM_CHECK(memory_->Remove(Gpa(0)).ok());
    // What still refers to it finds nothing there.
    std::memset(region_.data(), 0xa5, kMemorySize);
    region_ = std::move(other);
    LIBVMM_CHECK(memory_->Add(Gpa(0), region_).ok());
    return queue_->Refresh() ? "" : Text("Refresh failed");
  }

 private:
  struct Chain {
    uint64_t number = 0;
    uint16_t places = 0;
    std::vector<Buffer> buffers = {};
  };

  static MemoryRegion NewRegion() {
    absl::StatusOr<MemoryRegion> region =
        MemoryRegion::Anonymous({.size = kMemorySize});
    LIBVMM_CHECK(region.ok());
    return *std::move(region);
  }

  std::string Text(absl::string_view what) const {
    return absl::StrCat(name_, ": ", what);
  }
  template <typename T>
  std::string Compare(const char* what, T ours, T models) const {
    if (ours == models) return "";
    return absl::StrCat(name_, ": ", what, ": ", ours, ", the model has ",
                        models);
  }

  // The chain that was popped is the one that was added.
  std::string CompareChain(const Chain& chain) const {
    if (chain_.token().places != (packed_ ? chain.places : 1)) {
      return Text("places");
    }
    if (chain_.readable().size() + chain_.writable().size() !=
        chain.buffers.size()) {
      return Text("count of segments");
    }
    uint64_t readable = 0;
    uint64_t writable = 0;
    for (size_t i = 0; i < chain.buffers.size(); ++i) {
      const Buffer& buffer = chain.buffers[i];
      const bool first = i < chain_.readable().size();
      const ChainSegment& segment =
          first ? chain_.readable()[i]
                : chain_.writable()[i - chain_.readable().size()];
      if (buffer.writable == first || segment.gpa != buffer.gpa ||
          segment.size != buffer.size ||
          segment.data != region_.data() + buffer.gpa.value()) {
        return Text(absl::StrCat("segment ", i));
      }
      (first ? readable : writable) += buffer.size;
    }
    if (chain_.readable_size() != readable ||
        chain_.writable_size() != writable) {
      return Text("sizes");
    }
    return "";
  }

  const char* name_;
  bool packed_;
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  MemoryRegion region_;
  std::optional<VirtqueueDriver> driver_;
  std::optional<Virtqueue> queue_;
  DescriptorChain chain_;
  // By id.
  std::vector<Chain> chains_;
  std::vector<ChainToken> held_;
  RingModel model_;
};

RingScript::RingScript(Choose choose) {
  VirtqueueDriver::Options options;
  options.size = size_ = kSizes[choose(std::size(kSizes))];
  options.indirect = indirect_ = choose(2) != 0;
  options.event_index = choose(2) != 0;
  options.in_order = in_order_ = choose(4) == 0;
  options.polled = choose(4) == 0;
  options.table_size = kTableSize;
  for (const bool packed : {false, true}) {
    options.packed = packed;
    sides_.push_back(std::make_unique<Side>(options));
  }
}

RingScript::~RingScript() = default;

void RingScript::Add(Choose choose) {
  const uint32_t count = 1 + choose(kTableSize);
  const uint32_t readable = choose(count + 1);
  std::vector<Buffer> buffers;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t size = 1 + choose(4096);
    buffers.push_back({.gpa = Gpa(choose(kMemorySize - size + 1)),
                       .size = size,
                       .writable = i >= readable});
  }
  auto layout = Layout::kDirect;
  if (indirect_) layout = static_cast<Layout>(choose(3));
  if (layout == Layout::kMixed && count == 1) layout = Layout::kDirect;
  const size_t places = layout == Layout::kDirect  ? count
                        : layout == Layout::kMixed ? 2
                                                   : 1;
  for (const auto& side : sides_) {
    if (!side->HasRoom(places)) return;
  }
  for (const auto& side : sides_) side->Add(next_chain_, buffers, layout);
  ++next_chain_;
}

std::string RingScript::Step(Choose choose) {
  // `operation` on both sides, until one differs.
  const auto each = [this](auto operation) -> std::string {
    for (const auto& side : sides_) {
      std::string difference = operation(*side);
      if (!difference.empty()) return difference;
    }
    return "";
  };
  const bool popped = std::exchange(popped_, false);
  switch (choose(20)) {
    case 0:
    case 1:
    case 2:
      // The driver's doing, which does not come between a Pop and its Unpop.
      popped_ = popped;
      Add(choose);
      return "";
    case 3:
    case 4:
      popped_ = popped;
      return each([](Side& side) { return side.DriverPublish(); });
    case 5:
    case 6:
      popped_ = popped;
      return each([](Side& side) { return side.Collect(); });
    case 7:
      popped_ = popped;
      for (const auto& side : sides_) side->DisableInterrupts();
      return "";
    case 8: {
      popped_ = popped;
      const auto skip = static_cast<uint16_t>(choose(size_));
      return each([skip](Side& side) { return side.EnableInterrupts(skip); });
    }
    case 9:
    case 10:
    case 11: {
      const size_t held = sides_.front()->held();
      std::string difference = each([](Side& side) { return side.Pop(); });
      popped_ = sides_.front()->held() > held;
      return difference;
    }
    case 12:
      if (!popped) return "";
      for (const auto& side : sides_) side->Unpop();
      return "";
    case 13:
    case 14:
    case 15: {
      const size_t count = sides_.front()->held();
      if (count == 0) return "";
      const size_t held = in_order_ ? 0 : choose(static_cast<uint32_t>(count));
      const uint32_t written = choose(8) == 0 ? 0 : choose(1 << 16);
      for (const auto& side : sides_) side->Push(held, written);
      return "";
    }
    case 16:
      return each([](Side& side) { return side.DevicePublish(); });
    case 17:
      for (const auto& side : sides_) side->DisableNotifications();
      return "";
    case 18:
      return each([](Side& side) { return side.EnableNotifications(); });
    default:
      if (choose(16) != 0) {
        return each([](Side& side) { return side.DevicePublish(); });
      }
      return choose(4) != 0
                 ? each([](Side& side) { return side.SaveAndRestore(); })
                 : each([](Side& side) { return side.MoveMemory(); });
  }
}

}  // namespace libvmm::testing
