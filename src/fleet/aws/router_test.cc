// Path templates, and that no operation is hidden by one before it.
#include "fleet/aws/router.h"

#include <gtest/gtest.h>

#include "fleet/aws/fields.h"

namespace skerry::fleet::aws {
namespace {

using Values = std::map<std::string, std::string>;

TEST(MatchPath, TakesParametersDecodedOnceAndWhole) {
  EXPECT_EQ(match_path("/things", "/things"), Values());
  EXPECT_EQ(match_path("/things/{name}", "/things/a%2Fb"), (Values{{"name", "a/b"}}));
  EXPECT_EQ(match_path("/things/{name}", "/things/a%252Fb"), (Values{{"name", "a%2Fb"}}));
  EXPECT_EQ(match_path("/c/{arn}/artifacts/{name+}", "/c/arn:aws:x/artifacts/ab/model%20v1"),
            (Values{{"arn", "arn:aws:x"}, {"name", "ab/model v1"}}));
}

TEST(MatchPath, RefusesEverythingElse) {
  for (const char* path : {"", "/", "/things/", "/things/a/b", "/things/a/", "/other/a", "things/a",
                           "/things/%zz", "//a"}) {
    EXPECT_EQ(match_path("/things/{name}", path), std::nullopt) << path;
  }
  EXPECT_EQ(match_path("/artifacts/{bucket}/{key+}", "/artifacts/b/"), std::nullopt);
  EXPECT_EQ(match_path("/artifacts/{bucket}/{key+}", "/artifacts/b"), std::nullopt);
}

// With every parameter replaced by a word that no template has.
std::string example_of(std::string_view path_template) {
  std::string path;
  bool in_parameter = false;
  for (char c : path_template) {
    if (c == '{') {
      path += "word";
      in_parameter = true;
    } else if (c == '}') {
      in_parameter = false;
    } else if (!in_parameter) {
      path += c;
    }
  }
  return path;
}

TEST(Routes, EveryOperationIsReached) {
  const std::vector<Route> routes = all_routes();
  for (const Route& wanted : routes) {
    const std::string path = example_of(wanted.path);
    for (const Route& route : routes) {
      if (route.method != wanted.method || !match_path(route.path, path)) continue;
      EXPECT_EQ(route.name, wanted.name)
          << wanted.method << " " << wanted.path << " is hidden by " << route.path;
      break;
    }
  }
}

}  // namespace
}  // namespace skerry::fleet::aws
