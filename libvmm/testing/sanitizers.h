// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_SANITIZERS_H_
#define LIBVMM_TESTING_SANITIZERS_H_

// LIBVMM_SANITIZED is 1 in a build with AddressSanitizer or ThreadSanitizer:
// they have their own malloc, keep mappings of their own and slow everything
// down. g++ and clang say so differently.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIBVMM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LIBVMM_SANITIZED 1
#endif
#endif
#ifndef LIBVMM_SANITIZED
#define LIBVMM_SANITIZED 0
#endif

#if defined(__SANITIZE_THREAD__)
#define LIBVMM_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIBVMM_THREAD_SANITIZED 1
#endif
#endif
#ifndef LIBVMM_THREAD_SANITIZED
#define LIBVMM_THREAD_SANITIZED 0
#endif

namespace libvmm::testing {

inline constexpr bool kSanitized = LIBVMM_SANITIZED != 0;
inline constexpr bool kThreadSanitized = LIBVMM_THREAD_SANITIZED != 0;

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_SANITIZERS_H_
