// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/copy_on_write.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::sandbox {
namespace {

using ::testing::ElementsAre;

using Values = CopyOnWrite<std::vector<int>>;

TEST(CopyOnWriteTest, WhatIsSharedDoesNotChange) {
  Values values(std::vector<int>{1});
  values.Mutable().push_back(2);
  const auto first = values.Share();
  values.Mutable().push_back(3);
  const auto second = values.Share();
  values.Mutable().clear();
  EXPECT_THAT(*first, ElementsAre(1, 2));
  EXPECT_THAT(*second, ElementsAre(1, 2, 3));
  EXPECT_TRUE(values->empty());
}

TEST(CopyOnWriteTest, ChangesAreInPlaceUntilTheNextShare) {
  Values values(std::vector<int>{1});
  const std::vector<int>* const place = &*values;
  values.Mutable()[0] = 2;
  EXPECT_EQ(&*values, place);
  const auto shared = values.Share();
  EXPECT_EQ(shared.get(), place);
  EXPECT_EQ(&*values, place);
  values.Mutable()[0] = 3;
  EXPECT_NE(&*values, place);
  EXPECT_THAT(*shared, ElementsAre(2));
}

TEST(CopyOnWriteTest, GoesBackAndForthInTheSamePlace) {
  Values values(std::vector<int>{1});
  const auto shared = values.Share();
  values.Mutable().push_back(2);
  const std::vector<int>* const changed = &*values;
  for (int i = 0; i < 3; ++i) {
    values.Adopt(shared);
    EXPECT_EQ(&*values, shared.get());
    EXPECT_THAT(*values, ElementsAre(1));
    values.Mutable().push_back(7);
    EXPECT_EQ(&*values, changed);
    EXPECT_THAT(*values, ElementsAre(1, 7));
  }
  EXPECT_THAT(*shared, ElementsAre(1));
}

TEST(CopyOnWriteTest, OneMadeFromSharedCopiesAtItsFirstChange) {
  Values values(std::vector<int>{1});
  const auto shared = values.Share();
  Values other(shared);
  EXPECT_EQ(&*other, shared.get());
  other.Mutable()[0] = 5;
  values.Mutable()[0] = 6;
  EXPECT_THAT(*shared, ElementsAre(1));
  EXPECT_THAT(*other, ElementsAre(5));
}

}  // namespace
}  // namespace libvmm::sandbox
