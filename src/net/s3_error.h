// What S3 services say where they refuse: <Error><Code>…</Code><Message>…</Message></Error>.
#pragma once

#include <string>
#include <string_view>

namespace skerry::net {

// The text of the first <tag>, as far as it can stand in a message (printable, at most 200
// characters); "" where there is none. Untrusted, and may be cut off.
std::string said_by_s3(std::string_view xml, std::string_view tag);

}  // namespace skerry::net
