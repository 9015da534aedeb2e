/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah serve: a policy behind a socket, for openpi's clients and for `mynah run ws://HOST:PORT`. */
#include "tool.h"

#include <stdio.h>
#include <string.h>

static mynah_status serve(const mynah_serve_config *c, const char *path, mynah_predictor *predictor, mynah_json *result) {
  mynah_server *s;
  const char *slash = strrchr(path, '/');
  MYNAH_TRY(mynah_server_create(c, predictor, slash ? slash + 1 : path, &s));
  tool_say("serving %s on ws://%s:%d, %s; Ctrl-C ends it", path, c->host, mynah_server_port(s), c->token[0] ? "with a token" : "no token");
  tool_announce("{\"url\":\"ws://%s:%d\",\"port\":%d}\n", c->host, mynah_server_port(s), mynah_server_port(s));
  mynah_status status = mynah_server_run(s, result);
  mynah_server_destroy(s);
  if (status == MYNAH_OK)
    tool_say("%lld messages of %lld clients, %lld refused", (long long)mynah_json_to_integer(mynah_json_get(result, "messages"), 0),
             (long long)mynah_json_to_integer(mynah_json_get(result, "clients"), 0),
             (long long)mynah_json_to_integer(mynah_json_get(result, "refused"), 0));
  return status;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  mynah_serve_config c;
  mynah_clone *clone;
  mynah_predictor *predictor;
  mynah_config_default(&mynah_serve_table, &c);
  tool_acting_config acting;
  MYNAH_TRY(tool_apply(args, (mynah_config_bind[]){{&mynah_serve_table, &c}, {&tool_acting_table, &acting}}, 2));
  if (args->n_positional != 1) return tool_usage_error("name a policy");
  MYNAH_TRY(tool_load_checked(args, args->positional[0], &clone));
  mynah_status status = mynah_predictor_of_clone(clone, &predictor);
  if (status == MYNAH_OK) {
    status = serve(&c, args->positional[0], predictor, result);
    predictor->destroy(predictor);
  }
  mynah_clone_destroy(clone);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &mynah_serve_table;
  out[1] = &tool_acting_table;
  return 2;
}

const tool_command tool_serve = {"serve", "serve POLICY [port=8000] [host=127.0.0.1] [token=SECRET] [keys=FEATURE:KEY,...] [key=value ...]",
                                 "answer robots over a socket, as openpi's server does", run, tables};
