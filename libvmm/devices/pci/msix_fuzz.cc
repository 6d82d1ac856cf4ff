// SPDX-License-Identifier: Apache-2.0
// Table accesses, triggers and changes of Message Control in any order, against
// a model. After each step: routes were told by change and are what the table
// says; what was triggered was sent once, is pending, or was refused; the table
// and the pending bits read as the model has them; Save and Restore agree.
// Input: a count of vectors, then steps of six bytes: an action, an argument, a
// value.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/msi.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/pci/msix_state.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  explicit Session(uint16_t vectors)
      : routes_(vectors), words_(size_t{vectors} * 4), pending_(vectors) {
    for (size_t i = 3; i < words_.size(); i += 4) words_[i] = 1;
    msix_ = *Msix::Create(
        {.vectors = vectors,
         .deliver = [this](const Msi& message) { sent_.push_back(message); },
         .route_changed =
             [this](uint16_t vector, const std::optional<Msi>& route) {
               FUZZ_CHECK(route != routes_[vector]);
               routes_[vector] = route;
             }});
  }

  void Step(uint8_t action, uint8_t argument, uint32_t value) {
    sent_.clear();
    std::vector<Msi> expected;
    switch (action % 8) {
      case 0:
      case 1:
        expected = WriteTable(argument / 16 * 16 + argument % 4 * 4, 4, value);
        break;
      case 2:
        // Any size and offset, mostly none that writes.
        expected =
            WriteTable(value % (words_.size() * 4 + 16), argument % 17, value);
        break;
      case 3:
      case 4:
        expected = Trigger(static_cast<uint16_t>(argument));
        break;
      case 5:
        enabled_ = argument % 2 != 0;
        masked_ = argument / 2 % 2 != 0;
        msix_->SetControl({.enabled = enabled_, .function_masked = masked_});
        expected = TakePending();
        break;
      case 6:
        Read(value % (words_.size() * 4 + 16), argument % 17);
        break;
      case 7:
        if (argument == 0) {
          msix_->Reset();
          std::ranges::fill(words_, 0);
          for (size_t i = 3; i < words_.size(); i += 4) words_[i] = 1;
          std::fill(pending_.begin(), pending_.end(), false);
          enabled_ = masked_ = false;
        } else {
          Clone(argument, value);
        }
        break;
    }
    FUZZ_CHECK(sent_ == expected);
    Check();
  }

 private:
  size_t count() const { return pending_.size(); }
  Msi Message(size_t vector) const {
    return {
        .address = words_[4 * vector] | uint64_t{words_[4 * vector + 1]} << 32,
        .data = words_[4 * vector + 2]};
  }
  std::optional<Msi> Route(size_t vector) const {
    if (!enabled_ || masked_ || words_[4 * vector + 3] != 0) return {};
    return Message(vector);
  }
  std::vector<Msi> TakePending() {
    std::vector<Msi> sent;
    for (size_t i = 0; i < count(); ++i) {
      if (!pending_[i] || !Route(i).has_value()) continue;
      sent.push_back(Message(i));
      pending_[i] = false;
    }
    return sent;
  }

  std::vector<Msi> WriteTable(uint64_t offset, size_t size, uint32_t value) {
    const std::array<uint32_t, 5> data{value, ~value, value, value, value};
    FUZZ_CHECK(msix_->table().Write(
                   offset, std::as_bytes(std::span(data)).first(size)) ==
               IoResult::kDone);
    if ((size == 4 || size == 8) && offset % size == 0) {
      for (size_t i = 0; i < size / 4; ++i) {
        const size_t word = offset / 4 + i;
        if (word >= words_.size()) break;
        constexpr std::array<uint32_t, 4> kMasks{0xfffffffc, 0xffffffff,
                                                 0xffffffff, 1};
        words_[word] = data[i] & kMasks[word % 4];
      }
    }
    return TakePending();
  }

  std::vector<Msi> Trigger(uint16_t vector) {
    const Msix::Outcome outcome = msix_->Trigger(vector);
    if (vector >= count()) {
      FUZZ_CHECK(outcome == Msix::Outcome::kNoVector);
    } else if (!enabled_) {
      FUZZ_CHECK(outcome == Msix::Outcome::kDisabled);
    } else if (!Route(vector).has_value()) {
      FUZZ_CHECK(outcome == Msix::Outcome::kPending);
      pending_[vector] = true;
    } else {
      FUZZ_CHECK(outcome == Msix::Outcome::kDelivered);
      return {Message(vector)};
    }
    return {};
  }

  void Read(uint64_t offset, size_t size) {
    std::vector<std::byte> data(size);
    FUZZ_CHECK(msix_->table().Read(offset, data) == IoResult::kDone);
    for (size_t i = 0; i < size; ++i) {
      const uint64_t at = offset + i;
      const uint32_t expected = at / 4 < words_.size()
                                    ? words_[at / 4] >> (8 * (at % 4)) & 0xff
                                    : 0xff;
      FUZZ_CHECK(static_cast<uint32_t>(data[i]) == expected);
    }
  }

  void Clone(uint8_t argument, uint32_t value) {
    const MsixState good = msix_->Save();
    auto copy = *Msix::Create({.vectors = msix_->vectors()});
    FUZZ_CHECK(copy->Restore(good).ok());
    FUZZ_CHECK(copy->Save() == good);
    MsixState state = good;
    state.vectors[argument % count()].message.address = value;
    if (argument % 16 == 0) state.vectors.pop_back();
    const bool ok = copy->Restore(state).ok();
    FUZZ_CHECK(ok == (argument % 16 != 0 && value % 4 == 0));
    FUZZ_CHECK(copy->Save() == (ok ? state : good));
  }

  void Check() {
    const MsixState state = msix_->Save();
    FUZZ_CHECK(state.Validate().ok());
    FUZZ_CHECK(state.enabled == enabled_);
    FUZZ_CHECK(state.function_masked == masked_);
    std::vector<std::byte> pba(msix_->pba_size());
    FUZZ_CHECK(msix_->pba().Read(0, pba) == IoResult::kDone);
    for (size_t i = 0; i < count(); ++i) {
      FUZZ_CHECK(state.vectors[i].message == Message(i));
      FUZZ_CHECK(state.vectors[i].masked == (words_[4 * i + 3] != 0));
      FUZZ_CHECK(state.vectors[i].pending == pending_[i]);
      FUZZ_CHECK(routes_[i] == Route(i));
      FUZZ_CHECK(msix_->Route(static_cast<uint16_t>(i)) == Route(i));
      FUZZ_CHECK((static_cast<int>(pba[i / 8]) >> (i % 8) & 1) == pending_[i]);
    }
  }

  std::unique_ptr<Msix> msix_;
  std::vector<Msi> sent_;
  // What route_changed told last.
  std::vector<std::optional<Msi>> routes_;
  // The model.
  std::vector<uint32_t> words_;
  std::vector<bool> pending_;
  bool enabled_ = false;
  bool masked_ = false;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  libvmm::Session session(static_cast<uint16_t>(data[0] % 70 + 1));
  for (size_t i = 1; i + 6 <= size && i < 1024; i += 6) {
    session.Step(data[i], data[i + 1],
                 data[i + 2] | data[i + 3] << 8 | data[i + 4] << 16 |
                     static_cast<uint32_t>(data[i + 5]) << 24);
  }
  return 0;
}
