// JSON and YAML text into one kind of tree, within limits on size and depth.
#include "formats/json_ptr.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

Error too_deep(int limit) {
  return Error(Code::kResourceExhausted,
               fmt::format("nested deeper than {} levels: flatten the document", limit));
}

Result<> check_size(std::string_view text, const JsonLimits& limits) {
  if (text.size() <= limits.size_bytes) return {};
  return fail(Code::kResourceExhausted,
              fmt::format("{} bytes, at most {} are allowed: shorten the document", text.size(),
                          limits.size_bytes));
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// A plain YAML number: [+-] digits [. digits] [e [+-] digits], with no leading zero.
bool is_plain_number(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  const size_t exponent = text.find_first_of("eE");
  if (exponent != std::string_view::npos) {
    std::string_view digits = text.substr(exponent + 1);
    if (digits.starts_with('+') || digits.starts_with('-')) digits.remove_prefix(1);
    if (!all_digits(digits)) return false;
    text = text.substr(0, exponent);
  }
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() && fraction.empty()) return false;
  if (!whole.empty() && !all_digits(whole)) return false;
  if (!fraction.empty() && !all_digits(fraction)) return false;
  return whole.size() < 2 || whole[0] != '0';
}

json number_from(std::string text) {
  if (text.starts_with('+')) text.erase(0, 1);
  // JSON wants a digit on both sides of the point.
  if (const size_t point = text.find('.'); point != std::string::npos) {
    const auto is_digit_at = [&](size_t i) {
      return i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0;
    };
    if (!is_digit_at(point + 1)) text.insert(point + 1, "0");
    if (point == 0 || !is_digit_at(point - 1)) text.insert(point, "0");
  }
  json number = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return number.is_discarded() ? json(text) : number;  // too large for a double: its text
}

json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (is_plain_number(text)) return number_from(text);
  return text;
}

// Builds the tree from yaml-cpp's events rather than from its nodes: aliases and depth are seen
// here before anything is allocated for them.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(int depth_limit) : depth_limit_(depth_limit) {}

  json take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(mark, json()); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases are not supported: write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    // "?" is a plain scalar, "!" a quoted one; explicit tags other than strings mean what they say.
    const bool is_text = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (expects_key()) {
      key_ = value;
      has_key_ = true;
      if (open_.back()->contains(value)) {
        throw YAML::ParserException(mark, "the key '" + value + "' stands here twice");
      }
      return;
    }
    add(mark, is_text ? json(value) : plain_scalar(value));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, json::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, json::object());
  }
  void OnMapEnd() override { close(); }

 private:
  // Keys of the maps that are open, parallel to open_.
  bool expects_key() const { return !open_.empty() && open_.back()->is_object() && !has_key_; }

  json* add(const YAML::Mark& mark, json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    if (!has_key_) throw YAML::ParserException(mark, "a key has to be a string");
    has_key_ = false;
    return &(parent[std::exchange(key_, {})] = std::move(value));
  }

  void open(const YAML::Mark& mark, json container) {
    if (static_cast<int>(open_.size()) >= depth_limit_) {
      throw YAML::ParserException(mark, too_deep(depth_limit_).message());
    }
    open_.push_back(add(mark, std::move(container)));
  }

  void close() { open_.pop_back(); }

  const int depth_limit_;
  json root_;
  std::vector<json*> open_;  // stable: a container only grows while it is the innermost one
  std::string key_;
  bool has_key_ = false;
};

// Watches a text while it is parsed for keys that stand twice in one object: the first and the last
// would mean different things to different readers.
class UniqueKeys {
 public:
  bool operator()(json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start) {
      objects_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      objects_.pop_back();
    } else if (event == json::parse_event_t::key && twice_.empty()) {
      Object& object = objects_.back();
      object.key = parsed.get_ref<const std::string&>();
      if (!object.keys.insert(object.key).second) note();
    }
    return true;
  }
  // What is wrong; empty when nothing is.
  const std::string& problem() const { return twice_; }

 private:
  struct Object {
    std::set<std::string> keys;
    std::string key;  // whose value is being read
  };
  void note() {
    std::string path;
    for (const Object& object : objects_) path += (path.empty() ? "" : ".") + object.key;
    twice_ = fmt::format("the key '{}' stands here twice: {}", objects_.back().key, path);
  }
  std::vector<Object> objects_;  // that are open
  std::string twice_;
};

}  // namespace

bool is_deeper_than(std::string_view text, int limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

Result<json> parse_json(std::string_view text, const JsonLimits& limits) {
  SKERRY_TRY(check_size(text, limits));
  if (is_deeper_than(text, limits.depth)) return fail(too_deep(limits.depth));
  try {
    UniqueKeys keys;
    json document = json::parse(text, [&keys](int, json::parse_event_t event, json& parsed) {
      return keys(event, parsed);
    });
    if (keys.problem().empty()) return document;
    return fail(Code::kInvalidArgument, "not JSON: " + keys.problem());
  } catch (const json::exception& error) {
    std::string_view message = error.what();  // "[json.exception.parse_error.101] parse error at …"
    if (const size_t end = message.find("] "); end != std::string_view::npos) {
      message.remove_prefix(end + 2);
    }
    return fail(Code::kInvalidArgument, fmt::format("not JSON: {}", message));
  }
}

Result<json> parse_yaml(std::string_view text, const JsonLimits& limits) {
  SKERRY_TRY(check_size(text, limits));
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(limits.depth);
    if (!parser.HandleNextDocument(builder)) return json();
    json tree = builder.take();
    tree.dump();  // throws where a string is not UTF-8
    return tree;
  } catch (const YAML::Exception& error) {
    return fail(Code::kInvalidArgument,
                fmt::format("not YAML: line {}, column {}: {}", error.mark.line + 1,
                            error.mark.column + 1, error.msg));
  } catch (const json::exception&) {
    return fail(Code::kInvalidArgument, "not YAML: the text is not UTF-8");
  }
}

size_t line_in_yaml(std::string_view text, std::string_view path) {
  const auto line_of = [](const YAML::Node& node) {
    return static_cast<size_t>(std::max(node.Mark().line, 0)) + 1;
  };
  // The line of a member is its key's: of a value that is a block, it is the better one.
  const auto member = [&](const YAML::Node& object, const std::string& name,
                          size_t& line) -> std::optional<YAML::Node> {
    for (const auto& each : object) {
      if (!each.first.IsScalar() || !equal_ignoring_case(each.first.Scalar(), name)) continue;
      line = line_of(each.first);
      return each.second;
    }
    return std::nullopt;
  };
  try {
    YAML::Node node = YAML::Load(std::string(text));
    size_t line = line_of(node);
    for (size_t at = 0; at < path.size();) {
      size_t end = path.find_first_of(".[", at + 1);
      end = std::min(end, path.size());
      std::string step(path.substr(at, end - at));
      at = end;
      if (step.starts_with('.')) step.erase(0, 1);
      std::optional<YAML::Node> next;
      if (step.starts_with('[') && node.IsSequence()) {
        const size_t index = std::strtoul(step.c_str() + 1, nullptr, 10);
        if (index < node.size()) next = node[index];
        if (next) line = line_of(*next);
      } else if (node.IsMap()) {
        next = member(node, step, line);
      }
      if (!next) break;
      node.reset(*next);
    }
    return line;
  } catch (const YAML::Exception&) {
    return 1;
  }
}

std::string json_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

JsonPtr share(json value) {
  return std::make_shared<const json>(std::move(value));
}

}  // namespace skerry::formats
