import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'node_modules/', 'eslint.config.js', 'packaging/'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error'
    }
  },
  {
    // The layers import one way: protocol <- workers <- main.
    files: ['src/protocol/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*', '**/workers/**', '**/main/**', 'node:net', 'net', 'koffi'] }] }
  },
  {
    files: ['src/workers/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*', '**/main/**'] }] }
  },
  {
    // Clients name files to the test driver: one place opens them.
    files: ['src/workers/test-driver/**'],
    ignores: ['src/workers/test-driver/private-files.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['#*', '**/main/**', 'fs', 'fs/*', 'node:fs', 'node:fs/*', 'node:child_process'] }]
    }
  },
  {
    // Names with # are for those who look at the sources from outside: tests and bench.
    files: ['src/main/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*'] }] }
  },
  {
    files: ['test/**'],
    rules: { '@typescript-eslint/no-unused-expressions': 'off' }
  }
)
