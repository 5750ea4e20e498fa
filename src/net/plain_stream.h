// Inside of net: a connected socket as a Stream.
#pragma once

#include <memory>
#include <string>

#include "net/socket.h"
#include "net/stream.h"

namespace skerry::net {

// `address`, `source`: of the Peer.
std::unique_ptr<Stream> plain_stream(std::unique_ptr<Socket> socket, std::string address,
                                     std::string source = "");
// Small writes leave at once.
void set_no_delay(int fd);

}  // namespace skerry::net
