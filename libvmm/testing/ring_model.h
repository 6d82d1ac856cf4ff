// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_RING_MODEL_H_
#define LIBVMM_TESTING_RING_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace libvmm::testing {

// What a virtqueue is, without a ring: chains go from driver to device and back,
// in counted steps. Slow and obvious; virtio 1.2, section 2.7 or 2.8, whatever
// is the same in both said once. Counts are of 64 bits and go round nowhere;
// where the specification compares positions that do, the model looks at each
// position between.
//
// A chain is known by a number that the test gives it.
//
// Thread-safety: thread-compatible.
class RingModel {
 public:
  struct Options {
    uint16_t size = 0;
    bool packed = false;
    bool event_index = false;
    bool polled = false;
  };

  struct Used {
    uint64_t chain = 0;
    uint32_t written = 0;
  };

  explicit RingModel(const Options& options) : options_(options) {
    if (options.event_index && !options.packed) {
      // A split ring of zeroes asks for the first one.
      interrupts_ = {.kind = Wish::Kind::kAt, .position = 0};
      notifications_ = {.kind = Wish::Kind::kAt, .position = 0};
    }
  }

  // ---- The driver -----------------------------------------------------------

  // `places`: descriptors of a packed ring that the chain takes.
  void Add(uint64_t chain, uint16_t places) {
    added_.push_back({.number = chain, .places = places});
  }

  // True: the device wants to be notified.
  bool DriverPublish() {
    const uint64_t before = available_count_;
    for (const Chain& chain : added_) {
      available_count_ += Units(chain);
      available_.push_back(chain);
    }
    added_.clear();
    return Wanted(notifications_, before, available_count_);
  }

  std::optional<Used> Collect() {
    if (visible_.empty()) return std::nullopt;
    const auto [chain, written] = visible_.front();
    visible_.pop_front();
    collected_count_ += Units(chain);
    return Used{.chain = chain.number, .written = written};
  }

  void DisableInterrupts() {
    interrupts_ =
        options_.event_index && !options_.packed
            ? Wish{.kind = Wish::Kind::kAt, .position = collected_count_ - 1}
            : Wish{.kind = Wish::Kind::kNever};
  }

  // True: there are used chains already.
  bool EnableInterrupts(uint16_t skip) {
    interrupts_ =
        options_.event_index
            ? Wish{.kind = Wish::Kind::kAt, .position = collected_count_ + skip}
            : Wish{.kind = Wish::Kind::kAlways};
    return !visible_.empty();
  }

  // ---- The device -----------------------------------------------------------

  // The chain's number.
  std::optional<uint64_t> Pop() {
    if (available_.empty()) return std::nullopt;
    const Chain chain = available_.front();
    available_.pop_front();
    popped_count_ += Units(chain);
    held_.push_back(chain);
    return chain.number;
  }

  // The last that Pop gave.
  void Unpop() {
    available_.push_front(held_.back());
    popped_count_ -= Units(held_.back());
    held_.pop_back();
  }

  // A chain of those popped and not pushed, by where it is among them.
  void Push(size_t held, uint32_t written) {
    pushed_.emplace_back(held_[held], written);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(held));
  }

  // True: the driver wants to be interrupted.
  bool DevicePublish() {
    Show();
    const uint64_t before = signalled_count_;
    signalled_count_ = used_count_;
    return Wanted(interrupts_, before, used_count_);
  }

  // Saving a queue's state shows what was pushed; what was not decided about
  // yet is known again later, as far back as positions tell.
  void Save() {
    Show();
    if (used_count_ - signalled_count_ >= Values()) {
      signalled_count_ = used_count_ - (Values() - 1);
    }
  }

  void DisableNotifications() {
    if (options_.event_index && !options_.packed) return;
    notifications_ = {.kind = Wish::Kind::kNever};
  }

  // True: there are available chains.
  bool EnableNotifications() {
    if (!options_.polled) {
      notifications_ = options_.event_index ? Wish{.kind = Wish::Kind::kAt,
                                                   .position = popped_count_}
                                            : Wish{.kind = Wish::Kind::kAlways};
    }
    return !available_.empty();
  }

  [[nodiscard]] size_t held() const { return held_.size(); }

 private:
  struct Chain {
    uint64_t number = 0;
    uint16_t places = 0;
  };

  // What one side wants to be told of.
  struct Wish {
    enum class Kind : uint8_t { kAlways, kNever, kAt };
    Kind kind = Kind::kAlways;
    // Once the count goes past it.
    uint64_t position = 0;
  };

  // Makes what was pushed visible to the driver.
  void Show() {
    for (const auto& [chain, written] : pushed_) {
      used_count_ += Units(chain);
      visible_.emplace_back(chain, written);
    }
    pushed_.clear();
  }

  // A split ring counts chains, a packed one places.
  [[nodiscard]] uint64_t Units(const Chain& chain) const {
    return options_.packed ? chain.places : 1;
  }

  // Whether a count that goes from `from` to `to` is what `wish` is about.
  [[nodiscard]] bool Wanted(const Wish& wish, uint64_t from,
                            uint64_t to) const {
    if (from == to || wish.kind == Wish::Kind::kNever) return false;
    if (wish.kind == Wish::Kind::kAlways) return true;
    for (uint64_t count = from; count != to; ++count) {
      if (count % Values() == wish.position % Values()) return true;
    }
    return false;
  }

  // So many positions can be told apart.
  [[nodiscard]] uint64_t Values() const {
    return options_.packed ? 2 * uint64_t{options_.size} : uint64_t{1} << 16;
  }

  Options options_;
  std::vector<Chain> added_;
  std::deque<Chain> available_;
  std::deque<Chain> held_;
  std::vector<std::pair<Chain, uint32_t>> pushed_;
  std::deque<std::pair<Chain, uint32_t>> visible_;
  Wish interrupts_;
  Wish notifications_;
  // Units since the beginning.
  uint64_t available_count_ = 0;
  uint64_t popped_count_ = 0;
  uint64_t used_count_ = 0;
  uint64_t signalled_count_ = 0;
  uint64_t collected_count_ = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_RING_MODEL_H_
