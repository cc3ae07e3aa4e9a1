// Starts Swagger UI; a file of its own because the page's policy allows no inline script.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // asks nothing of the internet
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
