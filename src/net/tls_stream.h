// Inside of net: TLS on a connected socket, and what OpenSSL's errors mean.
#pragma once

#include <memory>
#include <string>

#include "net/socket.h"
#include "net/stream.h"

namespace skerry::net {

// Does the handshake and gives the stream. `host`: whom the certificate of the server must name;
// empty on the server's side. The caller sets a limit by destroying the task or by aborting the
// socket.
io::Task<Result<std::unique_ptr<Stream>>> tls_handshake(std::unique_ptr<Socket> socket,
                                                        std::shared_ptr<TlsContext> context,
                                                        std::string host, std::string address,
                                                        std::string source = "");

}  // namespace skerry::net
