// Start Swagger UI. This is a separate file because the policy of the page allows no inline script.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none", // rendering all operations takes a slow device many seconds
  validatorUrl: null, // sends no request to the internet
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
