// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_STATUS_MACROS_H_
#define LIBVMM_BASE_STATUS_MACROS_H_

// For .cc files: pass a failed absl::Status up to the caller. Debian's Abseil
// has no such macros yet. Both evaluate their expression once.

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

// LIBVMM_RETURN_IF_ERROR(Prepare());
#define LIBVMM_RETURN_IF_ERROR(expression)            \
  do {                                                \
    if (::absl::Status libvmm_status_ = (expression); \
        ABSL_PREDICT_FALSE(!libvmm_status_.ok())) {   \
      return libvmm_status_;                          \
    }                                                 \
  } while (false)

// LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
#define LIBVMM_ASSIGN_OR_RETURN(declaration, expression)               \
  LIBVMM_ASSIGN_OR_RETURN_IMPL_(                                       \
      LIBVMM_STATUS_CONCAT_(libvmm_status_or_, __LINE__), declaration, \
      expression)

#define LIBVMM_ASSIGN_OR_RETURN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                          \
  if (ABSL_PREDICT_FALSE(!result.ok())) {                              \
    return std::move(result).status();                                 \
  }                                                                    \
  declaration = *std::move(result)

#define LIBVMM_STATUS_CONCAT_(a, b) LIBVMM_STATUS_CONCAT_INNER_(a, b)
#define LIBVMM_STATUS_CONCAT_INNER_(a, b) a##b

#endif  // LIBVMM_BASE_STATUS_MACROS_H_
