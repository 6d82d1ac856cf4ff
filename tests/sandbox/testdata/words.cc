// SPDX-License-Identifier: Apache-2.0
// An ordinary C++ program: counts the words of its input. Exceptions, streams,
// files, containers and thread-local data of the C++ library.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Shape {
  virtual ~Shape() = default;
};
struct Circle : Shape {};
struct Square : Shape {};

class TooLong : public std::runtime_error {
 public:
  explicit TooLong(const std::string& word)
      : std::runtime_error("too long: " + word) {}
};

int unwound = 0;
thread_local int visits = 40;

struct Unwinds {
  ~Unwinds() { ++unwound; }
};

// Lives beyond exit(), as nothing deletes it.
std::map<std::string, int>& Counts() {
  static auto* const counts = new std::map<std::string, int>;
  return *counts;
}

void Check(const std::string& word, int depth) {
  const Unwinds unwinds;
  if (depth > 0) return Check(word, depth - 1);
  if (word.size() > 12) throw TooLong(word);
}

// Whether the word was counted.
bool Count(const std::string& word) {
  try {
    Check(word, 3);
    ++Counts()[word];
    return true;
  } catch (const TooLong& error) {
    std::cerr << error.what() << "\n";
    return false;
  }
}

void Print(std::ostream& out) {
  std::vector<std::pair<std::string, int>> sorted(Counts().begin(),
                                                  Counts().end());
  std::stable_sort(
      sorted.begin(), sorted.end(),
      [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [word, count] : sorted) {
    out << std::setw(8) << count << " " << std::quoted(word) << "\n";
  }
}

}  // namespace

// What a host may call when main has returned.
extern "C" {
__attribute__((used)) int count_word(const char* word) { return Count(word); }
__attribute__((used)) int count_of(const char* word) {
  const auto found = Counts().find(word);
  return found == Counts().end() ? 0 : found->second;
}
__attribute__((used)) int print_counts(void) {
  Print(std::cout);
  std::cout.flush();
  return static_cast<int>(Counts().size());
}
__attribute__((used)) int visit(void) { return ++visits; }
// Takes and fills `size` bytes; the sum of what it filled them with.
__attribute__((used)) unsigned long fill(unsigned long size) {
  auto* const bytes = new std::vector<unsigned char>(size, 3);
  unsigned long sum = 0;
  for (const unsigned char byte : *bytes) sum += byte;
  return sum;
}
}

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--uncaught") == 0) throw TooLong("x");
  const std::unique_ptr<Shape> shape = std::make_unique<Circle>();
  std::cout << "circle " << (dynamic_cast<Circle*>(shape.get()) != nullptr)
            << " square " << (dynamic_cast<Square*>(shape.get()) != nullptr)
            << "\n";
  int skipped = 0;
  for (std::string word; std::cin >> word;) skipped += Count(word) ? 0 : 1;
  {
    std::ofstream file("/tmp/counts");
    Print(file);
    if (!file) return 2;
  }
  std::ifstream file("/tmp/counts");
  std::stringstream copy;
  copy << file.rdbuf();
  std::cout << copy.str();
  std::cout << std::fixed << std::setprecision(3) << 22.0 / 7 << " " << std::hex
            << std::showbase << 48879 << std::dec << " skipped " << skipped
            << " unwound " << unwound << " visits " << ++visits << std::endl;
  try {
    std::cout << std::vector<int>{1, 2, 3}.at(3);
  } catch (const std::out_of_range&) {
    std::cout << "out of range\n";
  }
  const int code = argc > 1 ? std::stoi(argv[1]) : 0;
  if (argc > 2 && std::strcmp(argv[2], "--stay") == 0) {
    std::cout.flush();
    ::_exit(code);  // and no destructors of static objects
  }
  return code;
}
