// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_PLUGIN_HOST_PLUGIN_IMAGE_H_
#define LIBVMM_EXAMPLES_PLUGIN_HOST_PLUGIN_IMAGE_H_

#include <cstddef>
#include <span>

namespace plugin_host {

// The ELF file that plugin.c is built to.
[[nodiscard]] std::span<const std::byte> PluginImage();

}  // namespace plugin_host

#endif  // LIBVMM_EXAMPLES_PLUGIN_HOST_PLUGIN_IMAGE_H_
