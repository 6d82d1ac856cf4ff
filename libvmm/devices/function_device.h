// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FUNCTION_DEVICE_H_
#define LIBVMM_DEVICES_FUNCTION_DEVICE_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "libvmm/devices/io_device.h"

namespace libvmm {

namespace internal {

template <typename T>
concept IoAnswer = std::is_void_v<T> || std::same_as<T, IoResult>;

}  // namespace internal

// A callable for one direction of MakeIoDevice, which answers with an IoResult,
// or with nothing for kDone.
template <typename F>
concept IoReadFunction =
    std::invocable<F&, uint64_t, std::span<std::byte>> && internal::IoAnswer<
        std::invoke_result_t<F&, uint64_t, std::span<std::byte>>>;
template <typename F>
concept IoWriteFunction =
    std::invocable<F&, uint64_t, std::span<const std::byte>> &&
    internal::IoAnswer<
        std::invoke_result_t<F&, uint64_t, std::span<const std::byte>>>;

namespace internal {

template <typename ReadFunction, typename WriteFunction>
class FunctionDevice final : public IoDevice {
 public:
  FunctionDevice(ReadFunction read, WriteFunction write)
      : read_(std::move(read)), write_(std::move(write)) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    return Answer(read_, offset, data);
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    return Answer(write_, offset, data);
  }

 private:
  template <typename Function, typename Data>
  static IoResult Answer(Function& function, uint64_t offset, Data data) {
    if constexpr (std::is_void_v<
                      std::invoke_result_t<Function&, uint64_t, Data>>) {
      std::invoke(function, offset, data);
      return IoResult::kDone;
    } else {
      return std::invoke(function, offset, data);
    }
  }

  [[no_unique_address]] ReadFunction read_;
  [[no_unique_address]] WriteFunction write_;
};

struct ReadAllOnes {
  void operator()(uint64_t, std::span<std::byte> data) const {
    std::ranges::fill(data, kAbsentByte);
  }
};
struct DropWrite {
  void operator()(uint64_t, std::span<const std::byte>) const {}
};

}  // namespace internal

// The device of a few lines, from two callables:
//
//   auto device = MakeIoDevice(
//       [&](uint64_t offset, std::span<std::byte> data) { ... },
//       [&](uint64_t offset, std::span<const std::byte> data) {
//         ...
//         return IoResult::kStop;
//       });
//
// nullptr for `read` makes reads all ones; nullptr for `write`, or none at all,
// drops writes.
//
// Thread-safety: the callables'. They are called from as many vCPU threads at
//     once as the embedder dispatches from.
// Ownership: the device owns both callables, moved or copied in; they may be
//     move-only. Calls go to the same object each time, so `mutable` state
//     works.
// Errors: none.
// Cost: one allocation; a call costs a virtual call, and the callable is
//     inlined.
template <IoReadFunction ReadFunction, IoWriteFunction WriteFunction>
[[nodiscard]] std::unique_ptr<IoDevice> MakeIoDevice(ReadFunction read,
                                                     WriteFunction write) {
  return std::make_unique<
      internal::FunctionDevice<ReadFunction, WriteFunction>>(std::move(read),
                                                             std::move(write));
}

template <IoReadFunction ReadFunction>
[[nodiscard]] std::unique_ptr<IoDevice> MakeIoDevice(ReadFunction read,
                                                     std::nullptr_t = nullptr) {
  return MakeIoDevice(std::move(read), internal::DropWrite());
}

template <IoWriteFunction WriteFunction>
[[nodiscard]] std::unique_ptr<IoDevice> MakeIoDevice(std::nullptr_t,
                                                     WriteFunction write) {
  return MakeIoDevice(internal::ReadAllOnes(), std::move(write));
}

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FUNCTION_DEVICE_H_
