// wordpiece: text into token numbers as BERT's tokeniser does it (J. Devlin et al., 2018): control
// characters go, CJK characters and punctuation stand alone, where "lower_case" is set letters lose
// their case and accents; then the longest pieces that the vocabulary has, from the left.
#include <fmt/format.h>
#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <unordered_map>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxTokens = 1 << 16;
constexpr size_t kMaxTextBytes = 1 << 20;
constexpr size_t kMaxWord = 100;  // characters; a longer one is unknown

struct Category {
  explicit Category(int32_t c) : code(utf8proc_category(c)) {}
  bool is(utf8proc_category_t first, utf8proc_category_t last) const {
    return code >= first && code <= last;
  }
  utf8proc_category_t code;
};

bool is_space(int32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' ||
         Category(c).code == UTF8PROC_CATEGORY_ZS;
}

// Unassigned ones too, as Python's tables have them.
bool is_control(int32_t c) {
  return Category(c).is(UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO) ||
         Category(c).code == UTF8PROC_CATEGORY_CN;
}

bool is_punctuation(int32_t c) {
  const bool is_ascii_symbol = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) ||
                               (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return is_ascii_symbol || Category(c).is(UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

bool is_cjk(int32_t c) {
  constexpr std::array<std::pair<int32_t, int32_t>, 8> kBlocks = {{{0x4e00, 0x9fff},
                                                                   {0x3400, 0x4dbf},
                                                                   {0x20000, 0x2a6df},
                                                                   {0x2a700, 0x2b73f},
                                                                   {0x2b740, 0x2b81f},
                                                                   {0x2b820, 0x2ceaf},
                                                                   {0xf900, 0xfaff},
                                                                   {0x2f800, 0x2fa1f}}};
  for (const auto& [first, last] : kBlocks) {
    if (c >= first && c <= last) return true;
  }
  return false;
}

using Characters = std::u32string;

Result<Characters> characters_of(std::string_view text) {
  Characters result;
  for (size_t at = 0; at < text.size();) {
    int32_t c = 0;
    const auto used = utf8proc_iterate(reinterpret_cast<const uint8_t*>(text.data()) + at,
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (used < 1) {
      return fail(Code::kInvalidArgument, fmt::format("the text is no UTF-8 at byte {}", at));
    }
    result.push_back(static_cast<char32_t>(c));
    at += static_cast<size_t>(used);
  }
  return result;
}

std::string utf8_of(std::u32string_view characters) {
  std::string text;
  for (const char32_t c : characters) {
    std::array<uint8_t, 4> bytes{};
    const auto size = utf8proc_encode_char(static_cast<int32_t>(c), bytes.data());
    text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
  }
  return text;
}

// Appends the letter without case and accents.
void append_plain(int32_t c, Characters& out) {
  constexpr int kMaxParts = 32;
  std::array<int32_t, kMaxParts> parts{};
  int boundary = 0;
  const auto count = utf8proc_decompose_char(utf8proc_tolower(c), parts.data(), kMaxParts,
                                             UTF8PROC_DECOMPOSE, &boundary);
  for (utf8proc_ssize_t i = 0; i < count && i < kMaxParts; ++i) {
    const int32_t part = parts[static_cast<size_t>(i)];
    if (Category(part).code != UTF8PROC_CATEGORY_MN) out.push_back(static_cast<char32_t>(part));
  }
}

std::vector<Characters> words_of(const Characters& text, bool lower_case) {
  std::vector<Characters> words(1);
  const auto end_word = [&] {
    if (!words.back().empty()) words.emplace_back();
  };
  for (const char32_t character : text) {
    const auto c = static_cast<int32_t>(character);
    if (is_space(c)) {
      end_word();
    } else if (c != 0 && c != 0xfffd && !is_control(c)) {
      Characters plain;
      if (lower_case) {
        append_plain(c, plain);
      } else {
        plain.push_back(character);
      }
      for (const char32_t each : plain) {
        const bool stands_alone =
            is_cjk(static_cast<int32_t>(each)) || is_punctuation(static_cast<int32_t>(each));
        if (stands_alone) end_word();
        words.back().push_back(each);
        if (stands_alone) end_word();
      }
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

class WordPiece : public Step {
 public:
  using Vocabulary = std::unordered_map<std::string, int64_t>;
  struct Special {
    int64_t unknown = 0;
    int64_t begin = 0;
    int64_t end = 0;
    int64_t padding = 0;
  };

  WordPiece(Vocabulary vocabulary, Special special, bool lower_case, int64_t length)
      : vocabulary_(std::move(vocabulary)),
        special_(special),
        lower_case_(lower_case),
        length_(length) {}
  bool is_bounded() const override { return false; }
  uint64_t memory_bytes() const override { return vocabulary_.size() * 64; }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const std::string_view text, content_of(inputs[0]));
    if (text.size() > kMaxTextBytes) {
      return fail(Code::kResourceExhausted, "the text is longer than 1 MiB");
    }
    SKERRY_ASSIGN(const Characters characters, characters_of(text));
    const auto most = static_cast<size_t>(length_);
    std::vector<int64_t> numbers = {special_.begin};
    for (const Characters& word : words_of(characters, lower_case_)) {
      append_pieces(word, numbers);
      if (numbers.size() >= most) break;
    }
    if (numbers.size() > most - 1) numbers.resize(most - 1);
    numbers.push_back(special_.end);
    std::vector<int64_t> mask(most, 0);
    std::fill_n(mask.begin(), numbers.size(), 1);
    numbers.resize(most, special_.padding);
    const Shape shape = {1, length_};
    return std::vector{own(DataType::kInt64, shape, numbers), own(DataType::kInt64, shape, mask),
                       own(DataType::kInt64, shape, std::vector<int64_t>(most, 0))};
  }

 private:
  void append_pieces(const Characters& word, std::vector<int64_t>& numbers) const {
    const size_t before = numbers.size();
    const std::u32string_view all = word;
    for (size_t first = 0; first < all.size() && all.size() <= kMaxWord;) {
      const std::string prefix = first == 0 ? "" : "##";
      size_t last = all.size();
      auto found = vocabulary_.end();
      for (; last > first && found == vocabulary_.end(); --last) {
        found = vocabulary_.find(prefix + utf8_of(all.substr(first, last - first)));
      }
      if (found == vocabulary_.end()) break;
      numbers.push_back(found->second);
      first = last + 1;
      if (first == all.size()) return;
    }
    numbers.resize(before);
    numbers.push_back(special_.unknown);
  }

  Vocabulary vocabulary_;
  Special special_;
  bool lower_case_;
  int64_t length_;
};

}  // namespace

Result<StepPtr> make_wordpiece(Settings& settings) {
  SKERRY_ASSIGN(const auto lines, settings.lines("file"));
  WordPiece::Vocabulary vocabulary;
  for (const std::string& line : lines) {
    vocabulary.emplace(line, static_cast<int64_t>(vocabulary.size()));
  }
  if (vocabulary.size() != lines.size()) return settings.wrong("file", "has a token twice");
  WordPiece::Special special;
  for (const auto& [token, number] : {std::pair{"[UNK]", &special.unknown},
                                      {"[CLS]", &special.begin},
                                      {"[SEP]", &special.end},
                                      {"[PAD]", &special.padding}}) {
    const auto found = vocabulary.find(token);
    if (found == vocabulary.end()) return settings.wrong("file", fmt::format("has no {}", token));
    *number = found->second;
  }
  SKERRY_ASSIGN(const bool lower_case, settings.flag("lower_case", true));
  SKERRY_ASSIGN(const int64_t length, settings.integer("length", 2, kMaxTokens));
  return std::make_unique<WordPiece>(std::move(vocabulary), special, lower_case, length);
}

}  // namespace skerry::pipeline
