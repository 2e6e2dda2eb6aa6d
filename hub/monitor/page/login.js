// An address that ends in #token=... logs in by itself; the token does not stay in it.
"use strict";
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = given;
  document.getElementById("login").requestSubmit();
}
