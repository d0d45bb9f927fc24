/** The voices to choose from. `language`: what is expected of somebody who picks this voice. */

export const VOICES = [
  { id: "af_heart", name: "Heart", group: "English · women", language: "en" },
  { id: "af_bella", name: "Bella", group: "English · women", language: "en" },
  { id: "af_nicole", name: "Nicole (soft)", group: "English · women", language: "en" },
  { id: "af_sarah", name: "Sarah", group: "English · women", language: "en" },
  { id: "hf_alpha", name: "Alpha", group: "Hindi · women", language: "hi" },
  { id: "hf_beta", name: "Beta", group: "Hindi · women", language: "hi" },
  { id: "hm_omega", name: "Omega", group: "Hindi · men", language: "hi" },
  { id: "hm_psi", name: "Psi", group: "Hindi · men", language: "hi" },
];
