// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_CHANGE_MARK_H_
#define TESTS_SOAK_CHANGE_MARK_H_

#include <atomic>
#include <cstdint>

namespace libvmm::soak {

// The state of something that one thread changes while others watch it: what
// was seen through it can be held against the state only when no change
// overlapped. The changer calls Begin, makes the change, calls End; a watcher
// compares a Reading from before with one from after.
//
//   const ChangeMark::Reading before = mark.Read();
//   ...look...
//   if (before.IsSteady(mark.Read())) ...the state was before.state()...
//
// Thread-safety: thread-safe for watchers; one changer at a time.
class ChangeMark {
 public:
  class Reading {
   public:
    // True when no change was under way at this reading, and none had begun by
    // the later one.
    [[nodiscard]] bool IsSteady(Reading later) const {
      return word_ == later.word_ && state() != kChanging;
    }
    [[nodiscard]] unsigned state() const { return word_ & kStateMask; }

   private:
    friend class ChangeMark;
    explicit Reading(uint64_t word) : word_(word) {}
    uint64_t word_;
  };

  // States are 0 (at first) to 2.
  void Begin() { word_.store(Next() | kChanging); }
  void End(unsigned state) { word_.store(Next() | state); }
  [[nodiscard]] Reading Read() const { return Reading(word_.load()); }

 private:
  static constexpr uint64_t kStateMask = 3;
  static constexpr uint64_t kChanging = 3;

  [[nodiscard]] uint64_t Next() const {
    return (word_.load() & ~kStateMask) + kStateMask + 1;
  }

  std::atomic<uint64_t> word_ = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_CHANGE_MARK_H_
