// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

int main() {
  std::map<int, std::string> words{{2, "world"}, {1, "hello"}};
  try {
    for (const auto& [key, word] : words) std::cout << word << "\n";
    throw std::runtime_error("thrown");
  } catch (const std::exception& error) {
    std::cout << error.what() << "\n";
  }
}
