// HTTP/1.1 server on any number of listeners: keep-alive, chunked requests, Expect: 100-continue,
// responses from memory or from a file.
#pragma once

#include <memory>
#include <string>

#include "io/pool.h"
#include "net/http.h"
#include "net/stream.h"

namespace skerry::net {

class HttpServer {
 public:
  HttpServer(io::Loop& loop, HttpHandler handler, HttpLimits limits = {});
  ~HttpServer();  // drops every connection

  // Before listening.
  void set_body_router(BodyRouter router);
  void set_error_format(ErrorFormat format);
  // Where the files of responses are read; without it, on the loop. Outlives the server.
  void set_file_pool(io::Pool& pool);
  // Returns the port.
  Result<uint16_t> listen_tcp(const std::string& address, uint16_t port,
                              std::shared_ptr<TlsContext> tls);
  Result<void> listen_unix(const std::string& path, uint32_t mode);
  // Stops accepting; open connections finish the request they are in.
  void stop_accepting();
  size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::net
