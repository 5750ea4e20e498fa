// Units of work: each all or nothing, in order, durable before anybody hears of it.
#include "fleet/store_pool.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

Thing thing_named(const std::string& name) {
  return {.name = ThingName(name), .id = "id"};
}

class PoolListener : public EffectListener {
 public:
  void committed(const Effects& effects) override {
    for (const ThingName& thing : effects.jobs) heard.push_back(thing.str());
  }
  std::vector<std::string> heard;
};

class StorePoolTest : public testing::Test {
 protected:
  StorePoolTest() {
    auto opened = StorePool::open(loop, directory.path() + "/fleet.db");
    EXPECT_TRUE(opened) << opened.error().message();
    if (opened) pool = std::move(*opened);
    pool->add_listener(listener);
  }

  // Starts the unit; its outcome goes to `outcomes` when it is known.
  template <class Work>
  void start(Work work) {
    scope.spawn([](StorePoolTest& self, Work work) -> io::Task<void> {
      auto outcome = co_await self.pool->write(std::move(work));
      self.outcomes.push_back(outcome ? "done" : outcome.error().message());
    }(*this, std::move(work)));
  }
  void wait_for(size_t count) {
    while (outcomes.size() < count) ASSERT_TRUE(loop.run_for(60'000));
  }
  std::vector<std::string> things() {
    std::vector<std::string> names;
    std::optional<Result<Slice<Thing>>> listed;
    scope.spawn([](StorePoolTest& self, auto& listed) -> io::Task<void> {
      listed = co_await self.pool->read([](Store& store) { return store.list_things({}); });
    }(*this, listed));
    while (!listed) loop.run_for(60'000);
    EXPECT_TRUE(*listed);
    for (const Thing& one : (*listed)->items) names.push_back(one.name.str());
    return names;
  }

  io::ScratchDirectory directory;
  io::RealLoop loop;
  std::unique_ptr<StorePool> pool;
  PoolListener listener;
  std::vector<std::string> outcomes;
  io::TaskScope scope;
};

TEST_F(StorePoolTest, AUnitThatFailsUndoesItselfAloneAndNobodyHearsOfIt) {
  const auto create = [](std::string name, bool fails) {
    return [name = std::move(name), fails](Store& store) -> Result<void> {
      SKERRY_TRY(store.create_thing(thing_named(name)));
      store.effects().jobs.emplace_back(name);
      if (fails) return fail(Code::kFailedPrecondition, "the last step failed");
      return {};
    };
  };
  for (int i = 0; i < 40; ++i) start(create("t" + std::to_string(10 + i), i % 3 == 1));
  wait_for(40);
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(outcomes[i], i % 3 == 1 ? "the last step failed" : "done");
    if (i % 3 != 1) expected.push_back("t" + std::to_string(10 + i));
  }
  EXPECT_EQ(things(), expected);
  EXPECT_EQ(listener.heard, expected);
}

TEST_F(StorePoolTest, AnExceptionIsAnErrorOfItsUnitAndNotTheEnd) {
  start([](Store& store) -> Result<void> {
    SKERRY_TRY(store.create_thing(thing_named("gone")));
    throw std::runtime_error("a type error, say");
  });
  start([](Store& store) -> Result<void> { return store.create_thing(thing_named("kept")); });
  wait_for(2);
  EXPECT_EQ(outcomes[0], "unexpected exception: a type error, say");
  EXPECT_EQ(outcomes[1], "done");
  EXPECT_EQ(things(), (std::vector<std::string>{"kept"}));
}

TEST_F(StorePoolTest, AReaderCannotWriteAndSeesWhatWasAwaited) {
  std::optional<Result<void>> refused;
  scope.spawn([](StorePool& self, auto& refused) -> io::Task<void> {
    refused =
        co_await self.read([](Store& store) { return store.create_thing(thing_named("never")); });
  }(*pool, refused));
  while (!refused) ASSERT_TRUE(loop.run_for(60'000));
  EXPECT_FALSE(*refused);
  EXPECT_TRUE(things().empty());
}

TEST_F(StorePoolTest, WhoNoLongerWaitsIsNotMissed) {
  {
    io::TaskScope short_lived;
    short_lived.spawn([](StorePool& self) -> io::Task<void> {
      (void)co_await self.write(
          [](Store& store) { return store.create_thing(thing_named("left")); });
    }(*pool));
  }
  start([](Store&) -> Result<void> { return {}; });
  wait_for(1);
  EXPECT_EQ(things(), (std::vector<std::string>{"left"}));
}

TEST_F(StorePoolTest, TheEndOfThePoolFinishesWhatWasAskedFor) {
  for (int i = 0; i < 20; ++i) {
    start([i](Store& store) { return store.create_thing(thing_named("t" + std::to_string(i))); });
  }
  scope.cancel_all();
  pool.reset();
  loop.run_for(0);  // what was posted finds nobody
  auto store = Store::open(directory.path() + "/fleet.db");
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->list_things({})->items.size(), 20u);
}

}  // namespace
}  // namespace skerry::fleet
