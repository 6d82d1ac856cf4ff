// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FUNCTION_H_
#define LIBVMM_SANDBOX_FUNCTION_H_

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

template <typename Signature>
class Function;

// A function in a sandboxed program, looked up once (Sandbox::Find). Good for
// every sandbox that has the program at the same place: the one it was found
// in and its clones. The signature is the embedder's word; a wrong one makes
// the function see wrong arguments, and harms nobody else.
//
// Thread-safety: immutable value.
template <typename R, typename... P>
class Function<R(P...)> {
 public:
  explicit Function(Gva address) : address_(address) {}
  [[nodiscard]] Gva address() const { return address_; }

 private:
  Gva address_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FUNCTION_H_
