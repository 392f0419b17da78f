{{ stage('reference', 'grain_pest') }}
