// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_CHECK_H_
#define LIBVMM_BASE_CHECK_H_

// For .cc files: abort on a bug of the embedder's program that no Status can
// report, such as using a moved-from object. Never on guest input, never on a
// failure of the host. LIBVMM_DCHECK vanishes when NDEBUG is defined.

namespace libvmm::internal {

// Writes one line to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line,
                              const char* condition);

}  // namespace libvmm::internal

#define LIBVMM_CHECK(condition)                      \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::libvmm::internal::CheckFailed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define LIBVMM_DCHECK(condition) \
  (true ? static_cast<void>(0) : static_cast<void>(condition))
#else
#define LIBVMM_DCHECK(condition) LIBVMM_CHECK(condition)
#endif

#endif  // LIBVMM_BASE_CHECK_H_
