// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_HOST_FUNCTIONS_H_
#define LIBVMM_SANDBOX_HOST_FUNCTIONS_H_

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/call_arguments.h"
#include "libvmm/sandbox/host_call.h"

namespace libvmm::sandbox {

// Functions of the host that sandboxed code may call, by name. A program imports
// one with libvmm/sandbox/guest/sandbox.h; the names meet when it is loaded.
//
//   HostFunctions::Builder builder;
//   LIBVMM_RETURN_IF_ERROR(builder.Define("add", [](int a, int b) {
//     return a + b;
//   }));
//   LIBVMM_RETURN_IF_ERROR(builder.Define(
//       "log", [](HostCall& call, const std::string& text) {
//         call.user_data<Tenant>().Log(text);
//       }));
//   options.host_functions = std::move(builder).Build();
//
// Parameters, each of them one register unless said otherwise:
//   integers, enumerations, bool, Gva (an address in the sandbox)
//   float, double    as the import's stub passes them, in an integer register
//   std::string      from a `const char*`; at most kMaxString bytes
//   GuestBuffer      a pointer and a size_t: two registers, nothing copied
// A HostCall& may come first. Results: void, or a scalar as above.
//
// What the sandbox passes may be anything. A string that cannot be read makes
// the call return -EFAULT to the sandbox without reaching the function.
//
// Thread-safety: immutable. The functions may be called on any thread that runs
//     a sandbox with them: what they capture must be safe for that; what belongs
//     to one sandbox is its user data.
// Ownership: a handle that shares the functions with its copies.
// Errors: Define refuses an empty name or function, and a name that is there.
// Cost: a call is an index and an indirect call; strings allocate.
class HostFunctions {
 public:
  static constexpr size_t kMaxString = 64 << 10;
  static constexpr size_t kMaxArguments = 6;
  using Arguments = std::array<uint64_t, kMaxArguments>;
  // Returns what goes to RAX.
  using Thunk = std::function<uint64_t(HostCall&, const Arguments&)>;

  class Builder;

  // None.
  HostFunctions() = default;

  struct Entry {
    std::string name;
    Thunk thunk;
  };
  [[nodiscard]] size_t size() const {
    return entries_ == nullptr ? 0 : entries_->size();
  }
  [[nodiscard]] const Entry& at(size_t index) const {
    return (*entries_)[index];
  }

 private:
  explicit HostFunctions(std::shared_ptr<const std::vector<Entry>> entries)
      : entries_(std::move(entries)) {}

  std::shared_ptr<const std::vector<Entry>> entries_;
};

// Thread-safety: thread-compatible.
class HostFunctions::Builder {
 public:
  template <typename F>
  absl::Status Define(absl::string_view name, F function) {
    return Add(name, MakeThunk(std::move(function), &F::operator()));
  }
  template <typename R, typename... P>
  absl::Status Define(absl::string_view name, R (*function)(P...)) {
    return Define(name, [function](P... arguments) {
      return function(std::forward<P>(arguments)...);
    });
  }
  // The six registers as they are.
  absl::Status DefineRaw(absl::string_view name, Thunk thunk) {
    return Add(name, std::move(thunk));
  }

  [[nodiscard]] HostFunctions Build() &&;

 private:
  absl::Status Add(absl::string_view name, Thunk thunk);

  // One parameter out of the registers from `next` on; false where what it
  // points to cannot be read.
  template <typename T>
  static bool Take(HostCall& call, const Arguments& arguments, size_t& next,
                   T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      return call.ReadString(Gva(arguments[next++]), kMaxString, value);
    } else if constexpr (std::is_same_v<T, GuestBuffer>) {
      value.address = Gva(arguments[next++]);
      value.size = arguments[next++];
    } else {
      value = ResultFrom<T>(arguments[next++]);
    }
    return true;
  }
  template <typename T>
  static constexpr size_t kRegisters = std::is_same_v<T, GuestBuffer> ? 2 : 1;

  template <typename R>
  static uint64_t ToRegister(R result) {
    if constexpr (std::is_same_v<R, double>) {
      return std::bit_cast<uint64_t>(result);
    } else if constexpr (std::is_same_v<R, float>) {
      return std::bit_cast<uint32_t>(result);
    } else if constexpr (std::is_same_v<R, Gva>) {
      return result.value();
    } else {
      static_assert(ScalarArgument<R>, "not a result of a host function");
      return static_cast<uint64_t>(result);
    }
  }

  template <typename... P>
  struct Parameters {
    static_assert((size_t{0} + ... + kRegisters<std::decay_t<P>>) <=
                      kMaxArguments,
                  "a host function has at most six registers of arguments");
    std::tuple<std::decay_t<P>...> values;

    bool Fill(HostCall& call, const Arguments& arguments) {
      size_t next = 0;
      return std::apply(
          [&](auto&... value) {
            return (Take(call, arguments, next, value) && ...);
          },
          values);
    }
  };

  template <typename F, typename R, typename... P>
  static Thunk MakeThunk(F function, R (F::*)(HostCall&, P...) const) {
    return [function = std::move(function)](
               HostCall& call, const Arguments& arguments) -> uint64_t {
      Parameters<P...> parameters;
      if (!parameters.Fill(call, arguments)) return kBadAddress;
      return std::apply(
          [&](auto&... values) -> uint64_t {
            if constexpr (std::is_void_v<R>) {
              function(call, values...);
              return 0;
            } else {
              return ToRegister(function(call, values...));
            }
          },
          parameters.values);
    };
  }
  template <typename F, typename R, typename... P>
  static Thunk MakeThunk(F function, R (F::*)(P...) const) {
    auto with_call = [function = std::move(function)](HostCall&, P... values) {
      return function(std::forward<P>(values)...);
    };
    return MakeThunk(std::move(with_call), &decltype(with_call)::operator());
  }

  static constexpr uint64_t kBadAddress = static_cast<uint64_t>(-EFAULT);

  std::vector<Entry> entries_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_HOST_FUNCTIONS_H_
