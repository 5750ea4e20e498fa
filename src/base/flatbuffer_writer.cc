// A table stands at a multiple of 8 with its vtable before it; what it refers to comes behind.
#include "base/flatbuffer_writer.h"

#include <algorithm>
#include <cstring>

namespace skerry {
namespace {

void align(std::string& out, size_t alignment, size_t lead = 0) {
  while ((out.size() + lead) % alignment != 0) out += '\0';
}

template <class T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// The offset at `place` leads to `target`.
void lead_to(std::string& out, size_t place, size_t target) {
  const auto offset = static_cast<uint32_t>(target - place);
  std::memcpy(out.data() + place, &offset, sizeof offset);
}

}  // namespace

void FlatTable::text(unsigned field, std::string_view value) {
  fields_[field] = Text{std::string(value)};
}

void FlatTable::table(unsigned field, FlatTable value) {
  Tables tables{.one = true};
  tables.tables.push_back(std::move(value));
  fields_[field] = std::move(tables);
}

void FlatTable::tables(unsigned field, std::vector<FlatTable> values) {
  fields_[field] = Tables{std::move(values), false};
}

size_t FlatTable::append(std::string& out, const Field& field) {
  if (const auto* list = std::get_if<List>(&field)) {
    align(out, std::max<size_t>(list->alignment, 4), 4);
    const size_t at = out.size();
    append_number(out, static_cast<uint32_t>(list->count));
    out += list->bytes;
    return at;
  }
  if (const auto* text = std::get_if<Text>(&field)) {
    align(out, 4);
    const size_t at = out.size();
    append_number(out, static_cast<uint32_t>(text->text.size()));
    out.append(text->text).append(1, '\0');
    return at;
  }
  const auto& tables = std::get<Tables>(field);
  if (tables.one) return tables.tables[0].append_to(out);
  align(out, 4);
  const size_t at = out.size();
  append_number(out, static_cast<uint32_t>(tables.tables.size()));
  out.append(4 * tables.tables.size(), '\0');
  for (size_t i = 0; i < tables.tables.size(); ++i) {
    const size_t target = tables.tables[i].append_to(out);
    lead_to(out, at + 4 + 4 * i, target);
  }
  return at;
}

size_t FlatTable::append_to(std::string& out) const {
  const size_t slots = fields_.empty() ? 0 : fields_.rbegin()->first + 1;
  // Offsets of fields in the table, in their order, each at a multiple of its size.
  std::vector<uint16_t> places(slots, 0);
  size_t size = 4;
  for (const auto& [field, value] : fields_) {
    const auto* scalar = std::get_if<Scalar>(&value);
    const size_t bytes = scalar != nullptr ? scalar->bytes.size() : 4;
    size = (size + bytes - 1) / bytes * bytes;
    places[field] = static_cast<uint16_t>(size);
    size += bytes;
  }
  const size_t vtable_size = 4 + 2 * slots;
  align(out, 8, vtable_size);
  append_number(out, static_cast<uint16_t>(vtable_size));
  append_number(out, static_cast<uint16_t>(size));
  for (const uint16_t place : places) append_number(out, place);
  const size_t at = out.size();
  append_number(out, static_cast<int32_t>(vtable_size));
  out.append(size - 4, '\0');
  for (const auto& [field, value] : fields_) {
    const size_t place = at + places[field];
    if (const auto* scalar = std::get_if<Scalar>(&value)) {
      std::memcpy(out.data() + place, scalar->bytes.data(), scalar->bytes.size());
    } else {
      lead_to(out, place, append(out, value));
    }
  }
  return at;
}

std::string FlatTable::serialised(std::string_view identifier) const {
  std::string out(4, '\0');
  out += identifier;
  lead_to(out, 0, append_to(out));
  return out;
}

}  // namespace skerry
